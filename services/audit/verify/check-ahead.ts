import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { hashBytes } from '../tlog/merkle.ts'
import { fullWidth } from '../tlog/tile-path.ts'
import type { GoodBundle } from './check-bundle.ts'
import type { CheckedRange, Range } from './check-thread.ts'

/** Looks at bundles before their turn comes, on all cores. */
export interface AheadChecks {
  /** Resolves once a thread has started; until then nothing is found good. False when all died. */
  readonly working: Promise<boolean>
  /** The bundle and the hashes of its records, when it was found good; undefined when it has to be looked at here. In ascending order. */
  take(index: number): Promise<{ good: GoodBundle; hashes: Uint8Array } | undefined>
  close(): Promise<void>
}

/** Bundles that are asked for at once. */
const rangeBundles = 32
/** Ranges that a thread has to do or has done, and nobody has taken: some megabytes for each thread. */
const rangesAhead = 3
const mostThreads = 8
/** Below it, the threads would take longer to start than to work. */
const fewestBundles = 128

/** Undefined where it is not worth it. `bundles`: those from the first on that are files. */
export function checkAhead(folder: string, bundles: number, fewest = fewestBundles): AheadChecks | undefined {
  if (bundles < fewest) return undefined
  const threads = Array.from({ length: Math.min(mostThreads, availableParallelism()) }, () => startThread(folder))
  const ranges = new Map<number, Promise<CheckedRange>>()
  let current: CheckedRange | undefined
  /** The first range that nobody was asked for; undefined while the threads start, which takes as long as many ranges. */
  let next: number | undefined
  let started = false
  const working = Promise.any(threads.map((thread) => thread.started)).then(
    () => (started = true),
    () => false,
  )

  function ask(upTo: number): void {
    if (next === undefined) return
    for (; next <= upTo && next * rangeBundles < bundles; next += 1) {
      const range = { from: next * rangeBundles, to: Math.min(bundles, (next + 1) * rangeBundles) }
      const answer = threads[next % threads.length]?.check(range)
      // Told when its turn comes, which it may not.
      answer?.catch(() => undefined)
      if (answer !== undefined) ranges.set(next, answer)
    }
  }

  return {
    working,
    async take(index) {
      if (index >= bundles) return undefined
      const number = Math.floor(index / rangeBundles)
      if (current?.from !== number * rangeBundles) {
        if (started) next ??= number + 1
        ask(number + rangesAhead * threads.length)
        current = await ranges.get(number)
        ranges.delete(number)
      }
      const at = index % rangeBundles
      const good = current?.bundles[at]
      if (current === undefined || good === undefined) return undefined
      return { good, hashes: current.hashes.subarray(at * fullWidth * hashBytes, (at + 1) * fullWidth * hashBytes) }
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.close()))
    },
  }
}

interface CheckThread {
  readonly started: Promise<void>
  /** Answers come in the order of the questions. Rejects when the thread has died. */
  check(range: Range): Promise<CheckedRange>
  close(): Promise<void>
}

function startThread(folder: string): CheckThread {
  const worker = new Worker(new URL('check-thread.ts', import.meta.url), { workerData: { folder }, name: 'audit-verify' })
  const waiting: PromiseWithResolvers<CheckedRange>[] = []
  let failure: Error | undefined
  const fail = (error: Error): void => {
    failure ??= error
    start.reject(failure)
    for (const { reject } of waiting.splice(0)) reject(failure)
  }
  const start = Promise.withResolvers<void>()
  start.promise.catch(() => undefined)
  worker.on('message', (message: CheckedRange | 'started') => {
    if (message === 'started') start.resolve()
    else waiting.shift()?.resolve(message)
  })
  worker.on('error', (error) => fail(error instanceof Error ? error : new Error('a thread that checks the log failed')))
  worker.on('exit', () => fail(new Error('a thread that checks the log has ended')))
  return {
    started: start.promise,
    check(range) {
      if (failure !== undefined) return Promise.reject(failure)
      const answer = Promise.withResolvers<CheckedRange>()
      waiting.push(answer)
      worker.postMessage(range, [])
      return answer.promise
    },
    async close() {
      await worker.terminate()
    },
  }
}
