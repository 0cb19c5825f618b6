import { ModelLog, someEntries } from '../../store/test-support/model-log.ts'
import { signCheckpoint } from '../../tlog/checkpoint.ts'
import { makeNoteKey } from '../../tlog/note-key.ts'
import { ed25519Signer } from '../../tlog/note.ts'
import type { ReadTile } from '../../tlog/proofs.ts'

export const origin = 'intramuros.example/audit'

export interface GrowingLog {
  vkey: string
  skey: string
  readTile: ReadTile
  /** Grows to that size and signs. */
  checkpoint(size: number): { size: number; note: string }
}

/** A log in memory. Those with the same seed have the same entries; `skey`: of another one that this is a fork of. */
export function createGrowingLog(seed: string, key: { skey: string; vkey: string } = makeNoteKey(origin)): GrowingLog {
  const model = new ModelLog()
  return {
    ...key,
    readTile: (level, index, width) => Promise.resolve(model.tile(level, index, width)),
    checkpoint(size) {
      const from = model.head.size
      if (size < from) throw new Error('this log only grows')
      // Each by itself, so that an entry does not depend on how the log has grown.
      if (size > from) model.accept(Array.from({ length: size - from }, (_, at) => someEntries(1, `${seed} ${from + at}`)).flat())
      return { size, note: signCheckpoint({ origin, ...model.head }, [ed25519Signer(key.skey)]) }
    },
  }
}

/** Waits that end when the test says. */
export class Pauses {
  readonly waits: number[] = []
  readonly #waiting: (() => void)[] = []
  readonly #arrived: (() => void)[] = []

  /** To be given as `pause`. */
  readonly pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve()
      signal.addEventListener('abort', () => resolve(), { once: true })
      this.waits.push(ms)
      this.#waiting.push(resolve)
      for (const arrived of this.#arrived.splice(0)) arrived()
    })

  /** Resolves once so many wait. */
  async reached(count = 1): Promise<void> {
    while (this.#waiting.length < count) await new Promise<void>((resolve) => void this.#arrived.push(resolve))
  }

  /** Ends the waits, and resolves once as many wait again. */
  async next(count = 1): Promise<void> {
    await this.reached(count)
    for (const resolve of this.#waiting.splice(0)) resolve()
    await this.reached(count)
  }
}
