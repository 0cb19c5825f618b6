import { expect, test } from 'vitest'
import { type RetentionOptions, startRetention } from './start-retention.ts'

const year = { requestsDays: 365, securityDays: 365, administrationDays: 365 }

/** A pruner over a log where nothing is due, whose store or index may fail. */
function started(options: Partial<RetentionOptions> = {}) {
  const scheduled: { run: () => void; ms: number }[] = []
  const told: string[] = []
  let runs = 0
  let failures = 0
  let waiting = Promise.withResolvers<void>()
  const tell = (...[about, text]: [object | string, string?]): void => void told.push(`${JSON.stringify(about)} ${text ?? ''}`)
  const index: RetentionOptions['index'] = {
    reached(_, signal) {
      runs += 1
      return runs === 2 ? Promise.reject(new Error('the disk is away')) : Promise.resolve(signal.throwIfAborted())
    },
    ask: (...[operation]) => Promise.resolve((operation === 'prunedTo' ? 0 : operation === 'range' ? { from: 0, to: 0 } : { indexes: [], usage: [], rows: { requests: [], others: [] } }) as never),
  }
  const running = startRetention({
    log: { size: 0, append: () => Promise.reject(new Error('nothing is due')) },
    store: { entries: async function* () {}, prune: () => Promise.reject(new Error('nothing is due')) },
    index,
    retention: year,
    clock: () => 0,
    schedule(run, ms) {
      const one = { run, ms }
      scheduled.push(one)
      waiting.resolve()
      waiting = Promise.withResolvers()
      return () => void scheduled.splice(scheduled.indexOf(one), 1)
    },
    logger: { debug: tell, info: tell, warn: tell, error: tell },
    metrics: { pruned: () => undefined, pruneFailed: () => void (failures += 1) },
    ...options,
  })
  return {
    running,
    scheduled,
    told,
    counts: () => ({ runs, failures }),
    next: () => waiting.promise,
  }
}

test('it runs at once, a day after that, and ten minutes after it failed, until it is closed', async () => {
  const { running, scheduled, counts, next, told } = started()
  const waits: number[] = []
  for (const runs of [1, 2, 3]) {
    await next()
    const one = scheduled.shift()
    waits.push(one?.ms ?? 0)
    expect(counts().runs).toBe(runs)
    if (runs < 3) one?.run()
  }
  expect(waits).toEqual([86_400_000, 600_000, 86_400_000])
  expect(counts().failures).toBe(1)
  expect(told.length).toBe(1)
  expect(told[0]).toMatch(/could not be dropped; it is tried again in ten minutes/)
  await running.close()
  expect(scheduled).toEqual([])
})

test('a run under way is ended by closing, which is no failure', async () => {
  const hung = Promise.withResolvers<void>()
  const { running, scheduled, counts, told } = started({
    index: {
      reached: (_, signal) => (signal.addEventListener('abort', () => hung.reject(signal.reason)), hung.promise),
      ask: () => Promise.reject(new Error('not asked')),
    },
  })
  await running.close()
  expect(scheduled).toEqual([])
  expect(counts().failures).toBe(0)
  expect(told).toEqual([])
})

test('times that may be unlawful are told at each start', async () => {
  const { running, told } = started({ retention: { ...year, requestsDays: 30, securityDays: 1000 } })
  expect(told).toEqual([
    expect.stringMatching(/"audit.retention.requestsDays","days":30.*less than six months.*AI Act/),
    expect.stringMatching(/"audit.retention.securityDays","days":1000.*more than a year/),
  ])
  await running.close()
})
