import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { QueryKind, UsageBy } from '../../proto/gen/intramuros/v1/audit_read.ts'
import { verifyArchive } from '../../services/audit/archive/verify-archive.ts'
import { verifyReceipt } from '../../services/audit/verify-receipt.ts'
import { openPostgresSource } from '../../services/audit/verify/postgres-source.ts'
import { verifyLog } from '../../services/audit/verify/verify-folder.ts'
import { writeArchive } from '../../services/cli/archive/write-archive.ts'
import { connectAuditReader } from '../../services/cli/audit-reader.ts'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'

const timeout = 90_000
let server: PostgresServer
let platform: Platform
let database: string
let folder: string
beforeAll(async () => {
  server = await startPostgres()
  database = await server.createDatabase()
  folder = await mkdtemp(join(tmpdir(), 'intramuros-in-postgres-'))
  platform = await startPlatform({
    workers: [{ tokens: 8 }],
    env: { INTRAMUROS_AUDIT_POSTGRES_URL: `postgres://postgres@127.0.0.1:${server.port}/${database}` },
    sections: { audit: { anchors: [{ name: 'worm', kind: 'folder', folder, everySeconds: 1 }] } },
  })
}, timeout)
afterAll(async () => {
  await platform.stop()
  await server.remove()
  await rm(folder, { recursive: true })
})

test('with the log in PostgreSQL, receipts, reading, usage, exports and copies are what they are with a folder; it starts again from its index', async () => {
  const reply = await send(platform, chatBody(platform))
  expect(reply.status).toBe(200)
  const vkey = (await readFile(join(platform.home, 'audit-key/log.pub'), 'utf8')).trim()
  const requestId = String(reply.headers['x-request-id'])
  const receipt = await send(platform, undefined, { method: 'GET', path: `/v1/receipts/${requestId}` })
  expect(verifyReceipt(receipt.text, vkey)).toMatchObject({ record: { type: 'request.end', requestId } })

  const reader = await connectAuditReader({ address: `127.0.0.1:${platform.ports('audit')['grpc']}`, tlsFolder: join(platform.home, 'tls') })
  const archive = join(platform.home, 'archive')
  try {
    const anything = { team: '', keyId: '', subject: '', model: '', endpoint: '', outcome: '', error: '', type: '', fromMs: undefined, toMs: undefined, oldestFirst: false, limit: 10, after: undefined }
    const find = async () => (await reader.query({ ...anything, kind: QueryKind.REQUESTS, outcome: 'completed' })).requests
    await until(async () => (await find()).length === 1, 'the index to have the request')
    expect(await find()).toMatchObject([{ requestId }])
    expect((await reader.usage({ month: '', team: '', by: [UsageBy.TEAM] })).rows).toMatchObject([{ team: 'default', sums: { requests: 1n } }])
    const of = async () => Number((await reader.checkpoint()).content.toString().split('\n')[1])
    const [row] = await find()
    await until(async () => (await of()) > Number(row?.end?.index), 'a checkpoint of the request')
    await writeArchive(reader.export({ team: '', fromMs: undefined, toMs: undefined }), { folder: archive, team: '', from: '', to: '' })
  } finally {
    await reader.close()
  }
  expect(await verifyArchive(archive, vkey)).toMatchObject({ ok: true })
  await until(async () => (await readdir(folder)).length > 0, 'a copy of a checkpoint')
  expect(await verifyLog(() => openPostgresSource(server.settingsOf(database)), { vkey, checkpoints: folder })).toMatchObject({ ok: true, keyChecked: true })

  await platform.kill('audit')
  await platform.restart('audit')
  await platform.ready('gateway')
  expect((await send(platform, chatBody(platform))).status).toBe(200)
  // The first request is none that the new process has seen.
  const again = await send(platform, undefined, { method: 'GET', path: `/v1/receipts/${requestId}` })
  expect(verifyReceipt(again.text, vkey)).toMatchObject({ record: { type: 'request.end', requestId } })
}, timeout)
