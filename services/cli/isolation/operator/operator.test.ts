import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { V1CronJob, V1Job } from '@kubernetes/client-node'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { exitStatusOf } from '../../commands/context.ts'
import { registerVerifyIsolation } from '../../commands/verify-isolation.ts'
import { encodeReport, type Report } from '../report.ts'
import { encodeTold } from '../told.ts'
import { jobFrom, scheduleOf } from './jobs.ts'

const report: Report = {
  version: 1, id: 'id', startedAt: '2026-11-23T10:00:00.000Z', endedAt: '2026-11-23T10:00:05.000Z', software: '0.1.0', namespace: 'walls', collector: 'c', outcome: 'held', policies: 'enforced', problems: [],
  probes: [{ component: 'audit', pod: 'p', node: '', attempts: [{ kind: 'dns', target: 'dns:10.96.0.10:53', must: 'fail', result: 'silent', code: '', ms: 4000, verdict: 'held' }] }],
}

function cronJob(name: string, role: string, release = 'llm'): V1CronJob {
  const labels = { 'intramuros.io/isolation': role, 'app.kubernetes.io/instance': release }
  const template = { metadata: { labels: { 'intramuros.io/probe': 'true' } }, spec: { containers: [{ name: 'main', args: ['probe', role] }], restartPolicy: 'Never' } }
  return { metadata: { name, uid: `uid-${name}`, labels }, spec: { schedule: '0 3 * * *', jobTemplate: { metadata: { labels }, spec: { backoffLimit: 0, template } } } }
}

/** What the API server has been asked to do, and what it answers; the real one is asked in a cluster. */
let home: string
let cronJobs: V1CronJob[]
let created: V1Job[]
let deleted: string[]
let log: string
let failedJob: boolean
let mayListNodes: boolean
let server: ReturnType<typeof createServer>

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'intramuros-operator-'))
  cronJobs = [cronJob('llm-isolation', 'collector'), cronJob('llm-isolation-audit', 'probe')]
  ;[created, deleted, failedJob, mayListNodes] = [[], [], false, false]
  log = `Trying from 4 pods.\n${encodeTold({ report: encodeReport(report), receipt: 'a receipt' })}`
  server = createServer((request, response) => void respond(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await writeFile(
    join(home, 'kubeconfig'),
    JSON.stringify({ clusters: [{ name: 'c', cluster: { server: address, 'insecure-skip-tls-verify': true } }], users: [{ name: 'u', user: {} }], contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'walls' } }], 'current-context': 'x' }),
  )
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(home, { recursive: true })
})

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [status, body] = await answer(request)
  response.writeHead(status, { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
}

async function answer(request: IncomingMessage): Promise<[number, object | string]> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://api')
  const jobs = '/apis/batch/v1/namespaces/walls/jobs'
  const list = (items: object[]): [number, object] => [200, { metadata: {}, items }]
  switch (`${request.method ?? ''} ${pathname}`) {
    case 'GET /apis/batch/v1/namespaces/walls/cronjobs':
      return list(cronJobs)
    case `POST ${jobs}`: {
      const job = JSON.parse(await text(request)) as V1Job
      created.push(job)
      return [201, job]
    }
    case 'GET /api/v1/namespaces/walls/pods':
      return searchParams.get('labelSelector') === `job-name=${created.at(-1)?.metadata?.name ?? ''}` ? list([{ metadata: { name: 'pod-1' } }]) : list([])
    case 'GET /api/v1/namespaces/walls/pods/pod-1/log':
      return [200, log]
    case 'GET /apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes':
      return [200, { addressType: 'IPv4', endpoints: [{ addresses: ['10.1.0.1'] }], ports: [{ port: 6443 }] }]
    case 'GET /api/v1/namespaces/kube-system/services':
      return list([{ spec: { clusterIPs: ['10.96.0.10', 'fd00::10'] } }])
    case 'GET /apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices':
      return list([{ addressType: 'IPv4', endpoints: [{ addresses: ['10.244.0.7'] }], ports: [{ port: 53, protocol: 'UDP' }, { port: 9153, protocol: 'TCP' }] }])
    case 'GET /api/v1/nodes':
      if (!mayListNodes) return [403, { kind: 'Status', code: 403 }]
      return list([{ status: { addresses: [{ type: 'Hostname', address: 'node-1' }, { type: 'InternalIP', address: '10.1.0.2' }, { type: 'InternalIP', address: 'fd00::2' }] } }])
    case 'GET /api/v1/services':
      return list([{ spec: { ports: [{ port: 53, protocol: 'UDP', nodePort: 30_053 }, { port: 80 }] } }, { spec: { ports: [{ port: 443, nodePort: 30_443 }] } }])
    default:
      if (pathname.startsWith(`${jobs}/`)) {
        if (request.method === 'DELETE') deleted.push(pathname.slice(jobs.length + 1))
        return [200, { status: failedJob ? { failed: 1 } : { succeeded: 1 } }]
      }
      return [404, {}]
  }
}

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const [out, err] = [new PassThrough({ encoding: 'utf8' }), new PassThrough({ encoding: 'utf8' })]
  const program = new Command('intramuros').exitOverride().configureOutput({ writeErr: (words) => err.write(words) })
  registerVerifyIsolation(program, { out, err })
  let status = 0
  try {
    process.exitCode = 0
    await program.parseAsync(['verify', 'isolation', '--kubeconfig', join(home, 'kubeconfig'), ...args], { from: 'user' })
    status = process.exitCode
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    status = exitStatusOf(thrown)
  } finally {
    process.exitCode = 0
  }
  return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') }
}

test('jobs are made of the CronJobs, their report is told and saved, and they are deleted', async () => {
  const { status, out, err } = await run('-o', join(home, 'kept'))
  expect({ status, out }).toMatchObject({ status: 0, out: expect.stringContaining('The walls hold') as string })
  expect(created.map(({ metadata }) => metadata?.name?.slice(0, -9))).toEqual(['llm-isolation-audit', 'llm-isolation'])
  expect(created[0]).toMatchObject({ metadata: { ownerReferences: [{ kind: 'CronJob', name: 'llm-isolation-audit' }] }, spec: { backoffLimit: 0, template: { spec: { containers: [{ args: ['probe', 'probe'] }] } } } })
  // What the cluster told of itself; nodes this user may not list.
  const targets = ['api-server=tcp:10.1.0.1:6443', 'cluster-dns=dns:10.96.0.10:53', 'cluster-dns=tcp:10.96.0.10:53', 'cluster-dns=dns:[fd00::10]:53', 'cluster-dns=tcp:[fd00::10]:53', 'other-namespace=tcp:10.244.0.7:9153']
  expect(created[1]?.spec?.template.spec?.containers[0]?.args).toEqual(['probe', 'collector', ...targets.flatMap((target) => ['--target', target])])
  expect(err).toContain('Could not ask for nodes (403): they are not tried.')
  expect(new Set(deleted)).toEqual(new Set(created.map(({ metadata }) => metadata?.name)))
  expect(await readFile(join(home, 'kept/isolation-report.json'), 'utf8')).toBe(encodeReport(report))
  expect(await readFile(join(home, 'kept/isolation-receipt.txt'), 'utf8')).toBe('a receipt')
})

test('nodes, and a port that they publish, are tried where this user may list them', async () => {
  mayListNodes = true
  expect((await run()).status).toBe(0)
  const args = created.at(-1)?.spec?.template.spec?.containers[0]?.args
  expect(args?.filter((arg) => arg.startsWith('node'))).toEqual(['node=tcp:10.1.0.2:10250', 'node-port=tcp:10.1.0.2:30443', 'node=tcp:[fd00::2]:10250', 'node-port=tcp:[fd00::2]:30443'])
})

test('the status tells what came of it, and a check that nobody vouches for does not hold', async () => {
  const told = (outcome: Report['outcome'], receipt: string): void => void (log = encodeTold({ report: encodeReport({ ...report, outcome }), receipt }))
  failedJob = true
  told('violated', '')
  expect((await run('--no-discover')).status).toBe(1)
  told('unproven', 'r')
  expect((await run('--no-discover')).status).toBe(2)
  told('held', '')
  expect(await run('--no-discover')).toMatchObject({ status: 2, err: expect.stringContaining('nobody vouches for it') as string })
  expect(created.at(-1)?.spec?.template.spec?.containers[0]?.args).toEqual(['probe', 'collector'])
  log = 'it crashed'
  expect(await run('--no-discover')).toMatchObject({ status: 2, out: '', err: expect.stringContaining('it crashed') as string })
  expect(deleted).toHaveLength(created.length)
})

test('a receipt that does not hold is no receipt', async () => {
  expect(await run('--no-discover', '--key', 'ledger.example+01234567+AQ==')).toMatchObject({ status: 2 })
})

test('what a check has printed is read again', async () => {
  await writeFile(join(home, 'log'), log)
  expect(await run('--log', join(home, 'log'), '--json')).toMatchObject({ status: 0, out: encodeReport(report) })
  expect((await run('--log', join(home, 'none'))).status).toBe(2)
  expect(created).toEqual([])
})

test('an installation without a check, several, and a cluster that does not answer are told', async () => {
  expect(() => scheduleOf([...cronJobs, cronJob('b', 'collector', 'other')], undefined)).toThrow('--release (llm, other)')
  expect(scheduleOf([...cronJobs, cronJob('b', 'collector', 'other')], 'llm').collector.metadata?.name).toBe('llm-isolation')
  cronJobs = []
  expect(await run()).toMatchObject({ status: 2, err: expect.stringContaining('There is no isolation check in this namespace') as string })
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  expect(await run()).toMatchObject({ status: 2, err: expect.stringMatching(/The cluster could not be asked at http:.+: fetch failed: .*ECONNREFUSED/) as string })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})

test.each([
  ['a file that is not there', undefined, [], /kubeconfig .* can not be read: ENOENT/],
  ['a file that is no YAML', 'x: [', [], /kubeconfig .* can not be read/],
  ['no cluster', '{apiVersion: v1, kind: Config, clusters: [], contexts: []}', [], /no kubeconfig that names a cluster: give --kubeconfig/],
  ['no context of that name', '{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: "https://127.0.0.1:9"}}], users: [], contexts: [{name: mine, context: {cluster: a, user: u}}]}', ['--context', 'yours'], /no context yours; contexts: mine/],
])('a kubeconfig with %s is no verdict on the walls: status 2, and it is said', async (_, content, more, reason) => {
  const file = join(home, 'another')
  await rm(file, { force: true })
  if (content !== undefined) await writeFile(file, content)
  expect(await run('--kubeconfig', file, ...more)).toMatchObject({ status: 2, out: '', err: expect.stringMatching(reason) as string })
})

test('nor is a report that can not be saved', async () => {
  await writeFile(join(home, 'log'), log)
  expect(await run('--log', join(home, 'log'), '-o', join(home, 'log/folder'))).toMatchObject({ status: 2, err: expect.stringContaining('ENOTDIR') as string })
})

test('a job has a name that a label can hold', () => {
  expect(jobFrom(cronJob('x'.repeat(52), 'probe'), '01234567').metadata?.name).toHaveLength(59)
})
