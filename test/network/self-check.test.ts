import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIdentities, type Identities } from '../support/identities.ts'
import { createNetwork, type NetworkNamespace } from '../support/network-namespaces.ts'
import { until } from '../support/platform.ts'

const root = join(import.meta.dirname, '../..')
let home: string
let identities: Identities
let site: NetworkNamespace
let pod: NetworkNamespace

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-self-check-'))
  identities = await createIdentities()
  site = await createNetwork()
  pod = await site.join('pod')
  await site.ip('addr add 10.9.0.1/24 dev pod', 'addr add 203.0.113.1/32 dev lo')
  await pod.ip('addr add 10.9.0.2/24 dev eth0', 'route add default via 10.9.0.1')
  const server = site.start(process.execPath, [join(import.meta.dirname, 'listen.ts'), 'tcp:443', 'udp:53'])
  if (server.stdout !== null) await once(server.stdout, 'data')
})
afterAll(async () => {
  await site.close()
  await identities.close()
  await rm(home, { recursive: true })
})

function environment(selfCheck: string): NodeJS.ProcessEnv {
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('INTRAMUROS_'))),
    INTRAMUROS_HOME: home,
    INTRAMUROS_TLS_FOLDER: identities.folder,
    INTRAMUROS_GATEWAY_DIRECTORY: 'audit',
    INTRAMUROS_ISOLATION_SELF_CHECK: selfCheck,
    INTRAMUROS_ISOLATION_SETTLE_SECONDS: '1',
    INTRAMUROS_ISOLATION_INTERVAL_SECONDS: '10',
    INTRAMUROS_ISOLATION_OUTSIDE: 'tcp:203.0.113.1:443,dns:203.0.113.1:53,tcp:203.0.113.1:444',
  }
}

test.each(['gateway', 'tokenizer', 'inference-worker'])('%s: one that reaches the outside does not start, where it is told to refuse', async (service) => {
  await site.rules({})
  const { status, err } = await pod.run(process.execPath, [join(root, `services/${service}/main.ts`)], { env: environment('refuse') })
  expect(err).toContain('This service can reach the outside (tcp:203.0.113.1:443, dns:203.0.113.1:53)')
  expect(status).toBe(77)
})

test('one that is told to wait is not ready, says why, and goes on once there is a wall', async () => {
  await site.rules({})
  const gateway = pod.start(process.execPath, [join(root, 'services/gateway/main.ts')], { env: environment('notReady') })
  let log = ''
  for (const stream of [gateway.stdout, gateway.stderr]) stream?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const ask = 'const r = await fetch("http://127.0.0.1:9464" + process.argv[1]); process.stdout.write(await r.text())'
  const monitor = async (path: string): Promise<string> => (await pod.run(process.execPath, ['--input-type=module', '-e', ask, path])).out
  await until(async () => (await monitor('/readyz')).includes('the outside can be reached'), 'the reason')
  expect(await monitor('/readyz')).toBe('not ready\nthe outside can be reached (tcp:203.0.113.1:443, dns:203.0.113.1:53); see isolation.selfCheck\n')
  expect(await monitor('/metrics')).toMatch(/^intramuros_isolation_outside_reached\{[^}]*\} 2$/m)
  await until(() => log.includes('THE OUTSIDE CAN BE REACHED'), 'the log')
  await site.rules({ input: ['iifname pod meta l4proto { tcp, udp } drop'] })
  await until(async () => (await monitor('/metrics')).match(/^intramuros_isolation_outside_reached\{[^}]*\} 0$/m) !== null, 'the next check', 25_000)
  expect(await monitor('/readyz')).toBe('not ready\n') // it has no peers here
  await until(() => log.includes('the outside can not be reached any more'), 'the log')
}, 60_000)

test('behind a wall it starts', async () => {
  await site.rules({ input: ['iifname pod meta l4proto { tcp, udp } drop'] })
  const gateway = pod.start(process.execPath, [join(root, 'services/gateway/main.ts')], { env: { ...environment('refuse'), INTRAMUROS_GATEWAY_PORT: '8444', INTRAMUROS_GATEWAY_METRICS_PORT: '9465' } })
  let log = ''
  for (const stream of [gateway.stdout, gateway.stderr]) stream?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  await until(() => log.includes('listening') || gateway.exitCode !== null, 'the gateway')
  expect(log).toContain('self-check: the outside can not be reached')
  expect(gateway.exitCode).toBe(null)
})
