import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureCertificates } from '../../deploy/local/certificates.ts'
import { makeNoteKey } from '../../services/audit/tlog/note-key.ts'
import { chatBody, send } from '../support/client.ts'
import { until } from '../support/platform.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { kubectl, type KubernetesObject } from './cluster.ts'
import { getReady, install, type Installation, isReady } from './installation.ts'
import { startLoad } from './load.ts'

/** This machine, which is outside of the cluster, has the database. */
const outside = '10.10.10.1'
const host = 'db.example.org'
const namespace = 'database'
let folder: string
let server: PostgresServer | undefined
let installation: Installation

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-database-'))
  await ensureCertificates({ folder, now: () => new Date(), httpsNames: [host] })
  server = await startPostgres({
    settings: { listen_addresses: `127.0.0.1,${outside}` },
    certificate: readFileSync(join(folder, 'https.pem'), 'utf8'),
    access: ['local all postgres trust', 'hostssl audit intramuros_writer all scram-sha-256'],
  })
  await server.query('postgres', `CREATE ROLE intramuros_writer LOGIN PASSWORD 'not for others'`)
  await server.query('postgres', 'CREATE DATABASE audit OWNER intramuros_writer')
  const secret = (name: string, stringData: Record<string, string>): object => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData })
  installation = await install({
    name: namespace,
    auditServices: 2,
    objects: [secret('audit-db', { password: 'not for others' }), secret('audit-db-ca', { 'ca.crt': readFileSync(join(folder, 'ca.crt'), 'utf8') }), secret('audit-key', { 'log.key': makeNoteKey('audit.example.org').skey })],
    values: { audit: { replicas: 2, postgres: { host, addresses: [outside], port: server.port, passwordSecret: 'audit-db', caSecret: 'audit-db-ca', keySecret: 'audit-key' } } },
  })
  await getReady(installation)
})
afterAll(async () => {
  await installation?.uninstall()
  await server?.remove()
  await rm(folder, { recursive: true, force: true })
})

async function writers(): Promise<{ writer: KubernetesObject | undefined; standby: KubernetesObject | undefined }> {
  const pods = await installation.pods('audit')
  return { writer: pods.find(isReady), standby: pods.find((pod) => !isReady(pod) && pod.metadata.deletionTimestamp === undefined && pod.status.phase === 'Running') }
}

test('the audit service that writes dies under load: the other has its log, its teams and its keys', async () => {
  const { target } = installation
  await until(async () => (await writers()).standby !== undefined, 'the one that stands by', 120_000)
  const { writer, standby } = await writers()
  if (writer === undefined || standby === undefined) return expect.unreachable()
  const inStandby = async (...args: string[]): Promise<string> => await kubectl(['-n', namespace, 'exec', standby.metadata.name, '--', 'intramuros', ...args])
  const made = JSON.parse(await inStandby('keys', 'create', '--team', 'lab', '--json')) as { id: string; secret: string }
  const status = async (key: string): Promise<number> => (await send({ ...target, key }, chatBody(target, { max_tokens: 4 }))).status
  await until(async () => (await status(made.secret)) === 200, 'the key that was made in the pod that stands by', 30_000)
  await inStandby('keys', 'revoke', made.id)
  await until(async () => (await status(made.secret)) === 401, 'the key to be refused', 30_000)

  const load = startLoad(target)
  await load.more(5)
  await kubectl(['-n', namespace, 'delete', 'pod', writer.metadata.name, '--wait=false', '--grace-period=0', '--force'])
  await until(async () => (await writers()).writer?.metadata.uid === standby.metadata.uid, 'the other to write', 60_000)
  await load.more(10)
  const answers = await load.stop()
  for (const answer of answers) expect(answer.whole || answer.status >= 500 || answer.error !== '', JSON.stringify(answer)).toBe(true)
  expect(answers.filter((answer) => answer.status === 401)).toEqual([])
  expect(await status(made.secret)).toBe(401)
  expect(JSON.parse(await inStandby('audit', 'verify', '--json'))).toMatchObject({ ok: true, keyChecked: true })
})
