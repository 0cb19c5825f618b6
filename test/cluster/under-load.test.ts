import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { until } from '../support/platform.ts'
import { getObject, kubectl, onNode } from './cluster.ts'
import { type Component, full, getReady, install, type Installation } from './installation.ts'
import { type Answer, type Load, startLoad } from './load.ts'

const components: readonly Component[] = ['inference-worker', 'tokenizer', 'gateway', 'audit']
let installation: Installation
let load: Load | undefined
beforeAll(async () => {
  installation = await install({ name: 'busy', values: { gateway: { replicas: 2 }, tokenizer: { replicas: 2 } } })
  await getReady(installation)
})
afterEach(async () => {
  await load?.stop()
  load = undefined
})
afterAll(() => installation?.uninstall())

function failedOf(answers: readonly Answer[]): Answer[] {
  return answers.filter(({ whole, error }) => !whole || error !== '')
}

/** Waits until every record that has begun has ended. */
async function allEnded(): Promise<Map<unknown, Record<string, unknown>>> {
  let ends = new Map<unknown, Record<string, unknown>>()
  await until(async () => {
    const records = await installation.records()
    ends = new Map(records.filter(({ type }) => type === 'request.end').map((record) => [record['requestId'], record]))
    return records.every(({ type, requestId }) => type !== 'request.begin' || ends.has(requestId))
  }, 'the records of interrupted requests to be closed', 120_000)
  return ends
}

async function expectRecorded(answers: readonly Answer[]): Promise<void> {
  const ends = await allEnded()
  const lost = answers.filter(({ whole, requestId }) => whole && ends.get(requestId)?.['outcome'] !== 'completed')
  expect(lost).toEqual([])
  expect((await verifyFolder(installation.logFolder)).ok).toBe(true)
}

test('an upgrade that changes every pod fails no request', async () => {
  load = startLoad(installation.target)
  await load.more(5)
  const before = await Promise.all(components.map(uids))
  await installation.upgrade({ config: { log: { level: 'debug' } } })
  await installation.ready()
  await load.more(20)
  const answers = await load.stop()
  expect(failedOf(answers)).toEqual([])
  const now = await Promise.all(components.map(uids))
  for (const [index, old] of before.entries()) for (const uid of old) expect(now[index]).not.toContain(uid)
  await expectRecorded(answers)
})

test('a pool goes from one worker to three and back, and fails no request', async () => {
  load = startLoad(installation.target, 6)
  await load.more(5)
  await installation.upgrade({ poolDefaults: { replicas: 3 } })
  await installation.ready()
  const first = (await installation.records()).length
  await until(async () => new Set((await installation.records()).slice(first).flatMap(({ type, worker }) => (type === 'request.end' ? [worker] : []))).size >= 3, 'all three workers to be used', 120_000)
  await installation.upgrade({ poolDefaults: { replicas: 1 } })
  await until(async () => (await installation.pods('inference-worker')).length === 1, 'two workers to go', 180_000)
  await load.more(10)
  const answers = await load.stop()
  expect(failedOf(answers)).toEqual([])
  await expectRecorded(answers)
})

test('while the API server is away gateways go on with the workers that they know', async () => {
  load = startLoad(installation.target)
  await load.more(5)
  await onNode('sh', '-c', 'pkill -STOP -x kube-apiserver')
  try {
    await load.more(20)
  } finally {
    await onNode('sh', '-c', 'pkill -CONT -x kube-apiserver')
  }
  const answers = await load.stop()
  expect(failedOf(answers)).toEqual([])
  await kubectl(['get', '--raw', '/readyz'])
  await expectRecorded(answers)
})

describe.each([['deleted', ['--wait=false']], ['killed', ['--wait=false', '--grace-period=0', '--force']]] as const)('a pod that is %s under load', (how, options) => {
  test.each(components)('of %s: each request is answered or fails cleanly, and no record is lost', async (component) => {
    const [victim] = await installation.pods(component)
    if (victim === undefined) return expect.unreachable()
    load = startLoad(installation.target)
    await load.more(5)
    await kubectl(['-n', installation.namespace, 'delete', 'pod', victim.metadata.name, ...options])
    await until(async () => (await installation.pods(component)).every(({ metadata }) => metadata.uid !== victim.metadata.uid), `${victim.metadata.name} to go`, 120_000)
    await installation.ready()
    await load.more(10)
    const answers = await load.stop()
    // The worker is the only one of its pool.
    if (how === 'deleted' && component !== 'inference-worker') expect(failedOf(answers)).toEqual([])
    for (const answer of failedOf(answers)) {
      // With an error in the shape of the API, or, where the gateway itself is gone, by the end of the connection.
      const clean = answer.status >= 500 || answer.error === 'ECONNRESET' || answer.error === 'ECONNREFUSED' || (answer.status === 200 && (answer.error !== '' || component === 'gateway'))
      expect(clean, JSON.stringify(answer)).toBe(true)
    }
    await expectRecorded(answers)
  })
})

test('after a restart of the node everything is there again, with all records', async () => {
  load = startLoad(installation.target)
  await load.more(5)
  // All that runs there ends at once, as when the power fails: containers with their keepers, the kubelet, containerd, the proxy, who enforces policies, the API server.
  await onNode('sh', '-c', 'pkill -9 -f containerd-shi[m]; for tasks in /sys/fs/cgroup/pids/kubepods /sys/fs/cgroup/kubepods; do [ ! -d $tasks ] || find $tasks -name cgroup.procs -exec cat {} + | xargs -r kill -9; done; pkill -9 -x kubelet; pkill -9 -x containerd; pkill -9 -x kube-proxy; pkill -9 -x netpol; pkill -9 -x kube-apiserver; true')
  await until(async () => failedOf(load?.answers ?? []).length > 0, 'requests to fail')
  const interrupted = load
  await until(async () => (await getObject('deployment', `${full}-gateway`, installation.namespace).catch(() => undefined)) !== undefined, 'the API server', 120_000)
  await installation.ready()
  await load.more(10, 240_000)
  await expectRecorded(await interrupted.stop())
})

async function uids(component: Component): Promise<string[]> {
  return (await installation.pods(component)).map(({ metadata }) => metadata.uid)
}
