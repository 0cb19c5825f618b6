import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createSocket, type Socket } from 'node:dgram'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../support/platform.ts'
import { runProgram } from '../support/run-program.ts'
import { apply, kubectl } from './cluster.ts'
import { getReady, install, type Installation } from './installation.ts'

interface Report {
  outcome: string
  policies: string
  probes: { component: string; attempts: { kind: string; target: string; must: string; result: string; verdict: string }[] }[]
}

/** This machine is what is outside of the cluster: it stands for the internet, name servers there, and the metadata address of a cloud. */
const outside = '10.10.10.1'
const metadata = '169.254.169.254'
let listening: { close(): void }[] = []
let folder: string
let installation: Installation | undefined

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'intramuros-report-'))
  await runProgram('ip', ['addr', 'replace', `${metadata}/32`, 'dev', 'k8s-host'], { timeoutMs: 10_000 })
  listening = await Promise.all([listenTcp(outside, 443), listenTcp(outside, 8053), listenTcp(metadata, 80), answerDns(outside, 8053)])
  // A neighbour in another namespace.
  await apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'neighbour' } },
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', namespace: 'neighbour' }, spec: { containers: [{ name: 'web', image: 'localhost/busybox:1', imagePullPolicy: 'Never', command: ['/bin/httpd', '-f', '-p', '8080'] }] } },
  )
  await kubectl(['-n', 'neighbour', 'wait', 'pod/web', '--for=condition=Ready', '--timeout=60s'])
})
afterEach(async () => {
  await installation?.uninstall()
  installation = undefined
})
afterAll(async () => {
  for (const server of listening) server.close()
  await kubectl(['delete', 'namespace', 'neighbour', '--ignore-not-found'])
  await runProgram('ip', ['addr', 'del', `${metadata}/32`, 'dev', 'k8s-host'], { timeoutMs: 10_000 })
  rmSync(folder, { recursive: true })
})

/** All that must not be reached, by kind; each of them is there. */
const kinds = ['api-server', 'cluster-dns', 'component', 'dns', 'https', 'metadata', 'node', 'node-port', 'other-namespace', 'ping']

/** What is outside here; `isolation` is more of that group. */
async function values(isolation: object = {}): Promise<{ isolation: object }> {
  const neighbour = await kubectl(['-n', 'neighbour', 'get', 'pod', 'web', '-o', 'jsonpath={.status.podIP}'])
  return {
    isolation: {
      outside: [`tcp:${outside}:443`, `dns:${outside}:8053`, `tcp:${outside}:8053`, `ping:${outside}`, `tcp:${metadata}:80`],
      check: { targets: [`other-namespace=tcp:${neighbour}:8080`] },
      ...isolation,
    },
  }
}

async function check(name: string, ...args: string[]): Promise<{ status: number; report: Report; said: string }> {
  const { status, output, errors } = (await installation?.verifyIsolation('-o', join(folder, name), ...args)) ?? expect.unreachable()
  return { status, report: JSON.parse(readFileSync(join(folder, name, 'isolation-report.json'), 'utf8')) as Report, said: output + errors }
}

/** Of what must not be reached, from which components it had the verdict. */
function byKind(report: Report, verdict: string): Record<string, string[]> {
  const found: Record<string, Set<string>> = {}
  for (const { component, attempts } of report.probes) {
    for (const { kind, must, verdict: was } of attempts) if (must === 'fail' && was === verdict) (found[kind] ??= new Set()).add(component)
  }
  return Object.fromEntries(Object.entries(found).map(([kind, components]) => [kind, [...components].toSorted()]))
}

test('without policies every probe gets out, and the check says so; with them none does, and the ledger signs it', async () => {
  installation = await install({ name: 'walls', values: { ...(await values({ selfCheck: 'off' })), walls: { enabled: false, iKnowThisOpensTheWalls: true } } })
  await getReady(installation)
  const open = await check('open')
  expect(open.status, open.said).toBe(1)
  expect(open.report).toMatchObject({ outcome: 'violated', policies: 'not-enforced' })
  const gotOut = byKind(open.report, 'violated')
  const everybody = ['audit', 'gateway', 'inference-worker', 'tokenizer']
  expect(Object.keys(gotOut).toSorted()).toEqual(expect.arrayContaining(kinds))
  for (const kind of kinds) expect(gotOut[kind], kind).toEqual(kind === 'api-server' ? everybody.filter((component) => component !== 'gateway') : everybody)

  await installation.upgrade({ walls: { enabled: true, iKnowThisOpensTheWalls: false }, isolation: { selfCheck: 'notReady' } })
  await installation.ready()
  const key = await installation.cli('audit', 'key')
  const closed = await check('closed', '--key', key.trim())
  expect(closed.status, closed.said).toBe(0)
  expect(closed.report).toMatchObject({ outcome: 'held', policies: 'enforced' })
  expect(byKind(closed.report, 'violated')).toEqual({})
  const held = byKind(closed.report, 'held')
  for (const kind of kinds) expect(held[kind], kind).toEqual(gotOut[kind])

  // The record is in the log, and is of this very report.
  const last = (await installation.records()).findLast(({ type }) => type === 'isolation.checked')
  expect(last).toMatchObject({ outcome: 'held' })
})

test('the daily check runs by itself, and its record can be fetched from its log', async () => {
  installation = await install({ name: 'daily', values: await values({ check: { schedule: '* * * * *' } }) })
  await getReady(installation)
  await until(async () => ((await installation?.records()) ?? []).some(({ type, outcome }) => type === 'isolation.checked' && outcome === 'held'), 'a check that Kubernetes began', 240_000)
})

test('a gateway and workers that reach the outside are not ready, and get ready once they no longer do', async () => {
  installation = await install({ name: 'leaky', values: { ...(await values()), walls: { enabled: false, iKnowThisOpensTheWalls: true } } })
  const { namespace } = installation
  await until(async () => {
    const logs = await kubectl(['-n', namespace, 'logs', '-l', 'app.kubernetes.io/component=inference-worker,intramuros.io/serving=true', '--tail=200']).catch(() => '')
    return logs.includes(`tcp:${outside}:443`)
  }, 'a worker to say what it reaches', 180_000)
  for (const component of ['gateway', 'inference-worker'] as const) {
    // oxlint-disable-next-line no-await-in-loop -- two
    for (const { status } of await installation.pods(component)) expect(status.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('False')
  }
  await installation.upgrade({ walls: { enabled: true, iKnowThisOpensTheWalls: false } })
  await getReady(installation)
})

function listenTcp(host: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.on('error', () => undefined).end())
    server.once('error', reject)
    server.listen(port, host, () => resolve(server))
  })
}

/** Answers every question with the header of an empty answer (RFC 1035, 4.1.1). */
function answerDns(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.on('message', (question, from) => {
      const answer = Buffer.from(question)
      answer[2] = (answer[2] ?? 0) | 0x80
      socket.send(answer, from.port, from.address)
    })
    socket.bind(port, host, () => resolve(socket))
  })
}
