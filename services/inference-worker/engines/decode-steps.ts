import { type EvaluationGroups, inGroups } from './evaluation-groups.ts'
import type { BatchEntry } from './llama-internals.ts'
import { createStepCost } from './step-cost.ts'
import { createDebts, planStep, type Share, type StepLimits } from './step-plan.ts'

/**
 * The decode steps that all requests share: each evaluates tokens of many of them in one call. Who has come by the end of a step has a
 * part in the next, long prompts in pieces.
 */
export interface DecodeSteps {
  /**
   * Evaluates tokens, not none, behind those that the sequence holds, in as many steps as it takes, and resolves with what `read` made of
   * the last one's logits, which are there until it has ended. Undefined when the signal aborts before the last step. Rejects with what
   * a step or `read` failed with. One at a time for each sequence.
   */
  evaluate<T>(work: Evaluation<T>, signal: AbortSignal): Promise<T | undefined>
  /** When the step under way began, by `now`; undefined when none is. */
  readonly startedAt: number | undefined
  /** Resolves when no step is under way; those that wait for one stay. */
  idle(): Promise<void>
}

export interface Evaluation<T> {
  sequence: number
  /** That of the first token, in the sequence. */
  position: number
  tokens: Uint32Array
  share: Share
  read(logits: number): Promise<T>
  /** So many of the tokens more are in the sequence. */
  onProgress(count: number): void
  /** A step with it failed: what the sequence holds is not known. */
  onFailure(): void
}

export interface DecodeStepOptions extends StepLimits {
  decode(entries: readonly BatchEntry[]): Promise<number[]>
  /** Which entries are best evaluated together; undefined: all. */
  groups?: EvaluationGroups | undefined
  now(): number
}

interface Waiting {
  evaluation: Evaluation<unknown>
  /** Of its tokens. */
  done: number
  readonly wanted: number
  readonly share: Share
  readonly lastStep: number
  leave(): void
  settle(outcome: { value: unknown } | { failure: unknown }): void
}

export function createDecodeSteps({ decode, groups, now, ...limits }: DecodeStepOptions): DecodeSteps {
  const waiting = new Set<Waiting>()
  /** By sequence, so that it holds from one token of an answer to the next. */
  const lastSteps = new Map<number, number>()
  const cost = createStepCost()
  const debts = createDebts()
  let steps = 0
  let startedAt: number | undefined
  let scheduled = false
  let running: Promise<void> = Promise.resolve()

  function schedule(how: (begin: () => void) => void): void {
    if (scheduled || startedAt !== undefined || waiting.size === 0) return
    scheduled = true
    how(begin)
  }

  function begin(): void {
    scheduled = false
    if (waiting.size === 0) return
    running = step()
  }

  async function step(): Promise<void> {
    const began = now()
    startedAt = began
    steps += 1
    const entries = [...waiting]
    const grants = planStep(entries, cost, limits, debts)
    const granted = entries.flatMap((entry, index) => {
      const count = grants[index] ?? 0
      if (count === 0) return []
      const { evaluation, done } = entry
      const { sequence, position, tokens } = evaluation
      return [{ entry, sequence, position: position + done, tokens: tokens.subarray(done, done + count), logits: done + count === tokens.length }]
    })
    const chosen = inGroups(granted, groups)
    try {
      const places = await decode(chosen)
      cost.learn(chosen.reduce((sum, { tokens }) => sum + tokens.length, 0), now() - began)
      const reads: Promise<void>[] = []
      for (const { entry, sequence, tokens, logits } of chosen) {
        entry.done += tokens.length
        lastSteps.set(sequence, steps)
        entry.evaluation.onProgress(tokens.length)
        if (logits) reads.push(finish(entry, places.shift() ?? -1))
      }
      await Promise.all(reads)
    } catch (failure) {
      for (const { entry } of chosen) {
        entry.evaluation.onFailure()
        entry.settle({ failure })
      }
    } finally {
      startedAt = undefined
      // After the promises that have just settled: who goes on with what they brought has come by then, and nothing else is done first.
      schedule(process.nextTick)
    }
  }

  async function finish(entry: Waiting, logits: number): Promise<void> {
    // It can't be taken back any more: the answer has this token even when its caller has just gone.
    entry.leave()
    try {
      entry.settle({ value: await entry.evaluation.read(logits) })
    } catch (failure) {
      entry.settle({ failure })
    }
  }

  return {
    get startedAt() {
      return startedAt
    },
    idle: () => running,
    evaluate<T>(evaluation: Evaluation<T>, signal: AbortSignal) {
      return new Promise<T | undefined>((resolve, reject) => {
        if (signal.aborted) {
          resolve(undefined)
          return
        }
        const entry: Waiting = {
          evaluation,
          done: 0,
          get wanted() {
            return evaluation.tokens.length - this.done
          },
          share: evaluation.share,
          get lastStep() {
            return lastSteps.get(evaluation.sequence) ?? 0
          },
          leave() {
            waiting.delete(entry)
            signal.removeEventListener('abort', stop)
          },
          settle(outcome) {
            entry.leave()
            if ('failure' in outcome) reject(outcome.failure)
            else resolve(outcome.value as T)
          },
        }
        const stop = (): void => {
          entry.leave()
          // A step that has begun with it ends first: until then the sequence is in use.
          void running.then(() => resolve(undefined))
        }
        signal.addEventListener('abort', stop, { once: true })
        waiting.add(entry)
        // Those who come in the same turn of the event loop begin together.
        schedule(setImmediate)
      })
    },
  }
}
