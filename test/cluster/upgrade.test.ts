import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { chatBody, send } from '../support/client.ts'
import { until } from '../support/platform.ts'
import { getObject, kubectl, listObjects } from './cluster.ts'
import { full, getReady, install, type Installation } from './installation.ts'

/** The chart as it was at the version before. */
const before = join(import.meta.dirname, '../fixtures/charts/intramuros-0.1.0.tgz')
let installation: Installation
beforeAll(async () => {
  installation = await install({ name: 'older', chart: before })
  await getReady(installation)
})
afterAll(() => installation?.uninstall())

async function certificate(name: string, field: string): Promise<string> {
  return (await getObject('secret', name, installation.namespace)).data?.[field] ?? expect.unreachable()
}

test('an upgrade from the version before keeps the log with its key, the CA, teams and keys', async () => {
  const { target } = installation
  expect((await send(target, chatBody(target, { max_tokens: 4 }))).status).toBe(200)
  const old = { records: await installation.records(), key: await installation.cli('audit', 'key'), ca: await certificate(`${full}-helm-ca`, 'tls.crt'), leaf: await certificate(`${full}-tls-gateway`, 'tls.crt') }
  await installation.upgrade({})
  await installation.ready()
  expect((await send(target, chatBody(target, { max_tokens: 4 }))).status).toBe(200)
  expect((await installation.records()).slice(0, old.records.length)).toEqual(old.records)
  expect({ key: await installation.cli('audit', 'key'), ca: await certificate(`${full}-helm-ca`, 'tls.crt'), leaf: await certificate(`${full}-tls-gateway`, 'tls.crt') }).toEqual({ key: old.key, ca: old.ca, leaf: old.leaf })
  expect((await verifyFolder(installation.logFolder)).ok).toBe(true)
})

test('certificates that are due are made anew by an upgrade, and taken up without a restart', async () => {
  const { namespace, target } = installation
  const names = ['gateway', 'tokenizer', 'audit', 'inference-worker', 'https']
  const secrets = names.map((name) => `secret/${full}-tls-${name}`)
  const pods = async (): Promise<string[]> => (await listObjects('pods', namespace, 'intramuros.io/serving=true')).map(({ metadata, status }) => `${metadata.uid} ${status.containerStatuses?.map(({ restartCount }) => restartCount).join(' ')}`).toSorted()
  const running = await pods()
  const served = await servedSerial()
  const old = await certificate(`${full}-tls-tokenizer`, 'tls.crt')
  // As if made a year ago.
  await kubectl(['-n', namespace, 'annotate', '--overwrite', ...secrets, 'intramuros.io/issued=1000000000'])
  await installation.upgrade({})
  expect(await certificate(`${full}-tls-tokenizer`, 'tls.crt')).not.toBe(old)
  // The kubelet brings changed Secrets within a minute or two.
  await until(async () => (await servedSerial()) !== served, 'the new certificate to be served', 240_000)
  expect((await send(target, chatBody(target, { max_tokens: 4 }))).status).toBe(200)
  expect(await pods()).toEqual(running)
})

function servedSerial(): Promise<string> {
  const { hostname, port } = new URL(installation.target.url)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ca: installation.target.ca }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate(false).raw).serialNumber)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}
