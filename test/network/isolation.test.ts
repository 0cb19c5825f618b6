import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyReceipt } from '../../services/audit/verify-receipt.ts'
import { digestOf, type Report } from '../../services/cli/isolation/report.ts'
import { findTold } from '../../services/cli/isolation/told.ts'
import type { Ran } from '../support/network-namespaces.ts'
import { addresses, hole, startCluster, type TestCluster, walls } from './cluster.ts'

let cluster: TestCluster
beforeAll(async () => {
  cluster = await startCluster()
}, 120_000)
afterAll(() => cluster.close())

/** The check's report, whose receipt holds and is of it. */
async function reportOf({ out, err }: Ran): Promise<{ report: Report; record: object }> {
  const found = findTold(out)
  if (found === undefined) throw new Error(`no report:\n${out}${err}`)
  const vkey = (await readFile(join(cluster.home, 'state/audit-key/log.pub'), 'utf8')).trim()
  const result = verifyReceipt(found.told.receipt, vkey)
  if (!result.ok || result.record.type !== 'isolation.checked') throw new Error(`${JSON.stringify(result)}\n${err}`)
  expect(result.record).toMatchObject({ report: digestOf(found.told.report), outcome: found.report.outcome })
  return { report: found.report, record: result.record }
}

function attemptsOf({ probes }: Report, verdict: string): string[] {
  return probes.flatMap(({ component, attempts }) => attempts.filter((attempt) => attempt.verdict === verdict).map(({ target }) => `${component} ${target}`))
}

/** Pings are only tried where the program is. */
const withoutPings = (attempts: string[]): string[] => attempts.filter((attempt) => !attempt.includes(' ping:'))

test('without policies everything is reached, and that nothing is enforced is told', async () => {
  await cluster.site.rules({})
  const ran = await cluster.check()
  expect(ran.status).toBe(1)
  const { report, record } = await reportOf(ran)
  expect(report).toMatchObject({ outcome: 'violated', policies: 'not-enforced' })
  expect(report.problems[0]).toContain('No network policy is enforced at all')
  expect(record).toMatchObject({ outcome: 'violated', compared: 'first', broken: 0, components: ['gateway', 'audit', 'tokenizer', 'inference-worker'].map(() => expect.any(String) as unknown) })
  const violated = attemptsOf(report, 'violated')
  for (const component of ['tokenizer', 'audit', 'inference-worker']) {
    for (const target of [`tcp:${addresses.outside}:443`, `dns:${addresses.outside}:53`, `tcp:[${addresses.outside6}]:443`, `dns:[${addresses.outside6}]:53`, `tcp:${addresses.metadata}:80`, `tcp:${addresses.api}:6443`, `tcp:${addresses.node}:10250`]) {
      expect(violated).toContain(`${component} ${target}`)
    }
  }
  // Refused by a host on which nobody listens: the packet got there.
  expect(violated).toContain('gateway tcp:10.244.1.2:50052')
  expect(attemptsOf(report, 'broken')).toEqual([])
  expect(await cluster.auditMetrics()).toMatch(new RegExp(`^intramuros_isolation_violations\\{[^}]*\\} ${violated.length}$`, 'm'))
})

test('with policies nothing is reached, and the ledger tells that this is new', async () => {
  await cluster.site.rules(walls('drop'))
  const ran = await cluster.check({ args: ['--target', `cluster-dns=dns:${addresses.node}:53`] })
  const { report, record } = await reportOf(ran)
  expect(report.problems).toEqual([])
  expect(report).toMatchObject({ outcome: 'held', policies: 'enforced' })
  expect(ran.status).toBe(0)
  expect(record).toMatchObject({ compared: 'changed', violations: 0, broken: 0, problems: [] })
  expect(withoutPings(attemptsOf(report, 'untried'))).toEqual([])
  expect(attemptsOf(report, 'held')).toEqual(expect.arrayContaining([`gateway tcp:${addresses.api}:6443`, 'gateway tcp:10.244.3.2:50051', `tokenizer dns:${addresses.node}:53`, 'tokenizer tcp:10.244.0.2:8443']))
  const metrics = await cluster.auditMetrics()
  expect(metrics).toMatch(/^intramuros_isolation_violations\{[^}]*\} 0$/m)
  expect(metrics).toMatch(/^intramuros_isolation_changes_total\{[^}]*\} 1$/m)
  expect((await reportOf(await cluster.check())).record).toMatchObject({ compared: 'same' })
})

test('one hole is found, and only it', async () => {
  await cluster.site.rules(walls('drop', hole('tokenizer-probe', `ip daddr ${addresses.outside} udp dport 53`)))
  const ran = await cluster.check()
  const { report, record } = await reportOf(ran)
  expect(attemptsOf(report, 'violated')).toEqual([`tokenizer dns:${addresses.outside}:53`])
  expect(report).toMatchObject({ outcome: 'violated', policies: 'enforced' })
  expect(ran.status).toBe(1)
  expect(record).toMatchObject({ compared: 'changed', violations: 1, problems: [{ component: 'tokenizer', kind: 'dns', verdict: 'violated', count: 1 }] })
})

test.each([
  ['by ICMP', 'reject with icmpx type admin-prohibited'],
  ['as a host does', 'meta l4proto tcp reject with tcp reset; drop'],
])('walls that reject %s are walls', async (_, deny) => {
  await cluster.site.rules(walls(deny))
  const ran = await cluster.check()
  const { report } = await reportOf(ran)
  expect(attemptsOf(report, 'violated')).toEqual([])
  expect(report).toMatchObject({ outcome: 'held', policies: 'enforced' })
  expect(ran.status).toBe(0)
})

test('where nothing was tried from a component, or what must work does not, nothing is proven', async () => {
  await cluster.site.rules(walls('drop'))
  const without = await cluster.check({ without: 'worker-probe' })
  expect(without.status).toBe(2)
  expect((await reportOf(without)).report).toMatchObject({ outcome: 'unproven', problems: expect.arrayContaining(['inference-worker: nothing was tried from its pods.']) as string[] })
  await cluster.site.rules(walls('drop', 'ip daddr 10.244.3.2 tcp dport 50051 drop'))
  const broken = await cluster.check()
  expect(broken.status).toBe(2)
  const { report, record } = await reportOf(broken)
  expect(attemptsOf(report, 'broken')).toEqual(['gateway tcp:10.244.3.2:50051'])
  expect(record).toMatchObject({ outcome: 'unproven', broken: 1, problems: [{ component: 'gateway', kind: 'peer', verdict: 'broken', count: 1 }] })
})
