import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createIsolationChecks, type IsolationCheck } from './isolation-checks.ts'
import { encodeRecord } from './records/record.ts'

const at = '2026-11-23T10:00:00.000Z'
const held: IsolationCheck = { type: 'isolation.checked', instance: 'x', outcome: 'held', compared: 'first', components: ['gateway', 'audit'], attempts: 9, violations: 0, broken: 0, untried: 0, report: 'ab'.repeat(32), problems: [] }
const open: IsolationCheck = { ...held, outcome: 'violated', violations: 2, problems: [{ component: 'audit', kind: 'dns', verdict: 'violated', count: 2 }] }
const { signal } = new AbortController()

function bench(newest: () => Promise<Uint8Array | undefined>) {
  const registry = new Registry()
  const told: string[] = []
  const note = (level: string) => (_: object, message?: string) => void told.push(`${level}: ${message ?? ''}`)
  const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
  const checks = createIsolationChecks({ newest, registry, log, clock: () => Date.parse(at) + 60_000 })
  const values = async () => Object.fromEntries((await registry.getMetricsAsJSON()).map(({ name, values: [value] }) => [name.replace('intramuros_isolation_', ''), value?.value]))
  return { checks, told, values }
}

test('the newest check of the log is what metrics tell after a start, and what the next is compared to', async () => {
  const { checks, values } = bench(() => Promise.resolve(encodeRecord({ ...open, v: 1, at, clock: 'ok' })))
  await checks.restore(signal)
  expect(await values()).toEqual({ violations: 2, unproven: 0, checked_timestamp_seconds: Date.parse(at) / 1000, changes_total: 0 })
  expect(await checks.compare({ ...open, problems: [{ ...(open.problems[0] ?? { component: 'audit', kind: 'dns', verdict: 'violated' }), count: 3 }] }, signal)).toMatchObject({ compared: 'same' })
  expect(await checks.compare(held, signal)).toMatchObject({ compared: 'changed' })
})

test('what is recorded is told at once, the louder the worse', async () => {
  const { checks, told, values } = bench(() => Promise.resolve(undefined))
  checks.recorded(await checks.compare(held, signal))
  checks.recorded(await checks.compare(open, signal))
  checks.recorded(await checks.compare({ ...held, outcome: 'unproven' }, signal))
  expect(told).toEqual(['info: isolation check', 'error: isolation check: THE WALLS ARE OPEN', 'warn: isolation check'])
  expect(await values()).toEqual({ violations: 0, unproven: 1, checked_timestamp_seconds: Date.parse(at) / 1000 + 60, changes_total: 2 })
})

test('a log that can not be asked is asked again by the next check', async () => {
  let fails = true
  const { checks } = bench(() => (fails ? Promise.reject(new Error('not now')) : Promise.resolve(undefined)))
  await expect(checks.compare(held, signal)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'index_unavailable' })
  fails = false
  expect(await checks.compare(held, signal)).toMatchObject({ compared: 'first' })
})
