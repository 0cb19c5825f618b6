import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RealWorker, realOptions, startRealWorker } from '../support/real-worker.ts'

let worker: RealWorker
beforeAll(async () => {
  worker = await startRealWorker({ maxQueued: 100, queueTimeoutMs: 600_000 })
})
afterAll(() => worker.close())

const requests = 12
const question = 'What is the capital of France, and what does one see there?'

/** Milliseconds that one request after the other takes. */
async function times(team: string): Promise<number[]> {
  const all: number[] = []
  for (let index = 0; index < requests; index += 1) {
    const begin = performance.now()
    // Another beginning each time, so that the prefix cache has no part in it.
    await worker.answer({ tokens: worker.chat(`${index}. ${question}`), maxTokens: 24, team })
    all.push(performance.now() - begin)
  }
  return all.toSorted((a, b) => a - b)
}

// How much slower is told, not asserted: times on shared machines. services/inference-worker/fairness.test.ts asserts it, on the same queue and
// the same steps, with a clock that only steps move.
test('a team that asks one at a time is served while another has 64 requests waiting', async () => {
  const alone = await times('alone')
  const stop = new AbortController()
  let waiting = 0
  const flood = Array.from({ length: 64 + realOptions.slots }, async (_, index) => {
    waiting += 1
    try {
      await worker.answer({ tokens: worker.chat(`${index}. Tell me a very long story about an owl.`), maxTokens: 400, team: 'flood' }, stop.signal)
    } catch {
      // They are ended below.
    }
    waiting -= 1
  })
  const beside = await times('quiet')
  expect(waiting).toBeGreaterThan(realOptions.slots)
  stop.abort()
  await Promise.all(flood)
  const p95 = (sorted: readonly number[]): number => sorted[Math.ceil(0.95 * sorted.length) - 1] ?? 0
  process.stdout.write(`p50 ${beside[6]?.toFixed(0)} ms beside a flood, ${alone[6]?.toFixed(0)} alone; p95 ${p95(beside).toFixed(0)} and ${p95(alone).toFixed(0)}: ratio ${(p95(beside) / p95(alone)).toFixed(2)}\n`)
})
