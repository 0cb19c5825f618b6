import type { Logger } from '../../shared/log.ts'
import { describeError } from '../../shared/log.ts'
import { parseNote } from '../tlog/note.ts'
import { addSignatures } from '../tlog/witness.ts'
import { AnchorError } from './anchor.ts'
import { type Witness, WitnessAlarmError } from './ask-witness.ts'
import type { CosignedCheckpoints } from './cosigned-file.ts'
import { createTrouble } from './trouble.ts'

export interface WitnessMetrics {
  /** It has cosigned our newest checkpoint; `atMs` is our clock. */
  cosigned(witness: string, at: { size: number; atMs: number }): void
  failed(witness: string): void
  alarm(witness: string): void
}

export interface WitnessRoundsOptions {
  witnesses: readonly Witness[]
  intervalMs: number
  /** The newest checkpoint that is published; undefined while there is none. Throws when the store does not answer. */
  newest: () => Promise<{ size: number; note: string } | undefined>
  cosigned: CosignedCheckpoints
  /** Told of a checkpoint with cosignatures, for whoever publishes: it can put it in the place of the one without, if that is still the newest. */
  onCosigned: (note: string) => Promise<void>
  log: Logger
  metrics: WitnessMetrics
  clock: () => number
  /** Resolves after a time, or when the signal aborts, at once. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface Rounds {
  /** Resolves once nothing is under way. */
  close(): Promise<void>
}

/**
 * Asks all witnesses for a cosignature of the newest checkpoint, round by round, also when the log has not grown, so that it is seen to
 * be the newest still. Each goes by itself: one that is slow or away holds up no other, and nothing else.
 */
export function startWitnessRounds({ witnesses, intervalMs, newest, cosigned, onCosigned, log, metrics, clock, pause }: WitnessRoundsOptions): Rounds {
  const over = new AbortController()
  /** One cosignature at a time is put to the others of its checkpoint. */
  let keeping: Promise<void> = Promise.resolve()
  /** Checkpoint by its text, with the cosignatures of those that were quick. */
  let current: { text: string; note: string } | undefined

  async function run(witness: Witness): Promise<void> {
    const trouble = createTrouble({
      fields: { witness: witness.name },
      texts: { alarm: 'a witness says that the audit log is not the one that it knows', warning: 'a witness did not cosign', over: 'a witness cosigns again' },
      log,
      clock,
    })
    while (!over.signal.aborted) {
      try {
        const checkpoint = await newest()
        if (checkpoint !== undefined) {
          const signatures = await witness.cosign(checkpoint.note, over.signal)
          await add(checkpoint.note, signatures)
          metrics.cosigned(witness.name, { size: checkpoint.size, atMs: clock() })
          trouble.succeeded()
        }
      } catch (thrown) {
        if (over.signal.aborted) return
        const alarm = thrown instanceof WitnessAlarmError
        metrics.failed(witness.name)
        if (alarm) metrics.alarm(witness.name)
        const isTold = alarm || thrown instanceof AnchorError
        trouble.failed(isTold ? thrown.message : JSON.stringify(describeError(thrown)), { alarm })
      }
      await pause(intervalMs, over.signal)
    }
  }

  function add(note: string, signatures: Parameters<typeof addSignatures>[1]): Promise<void> {
    const adding = addAfter(keeping, note, signatures)
    keeping = adding.catch(() => undefined)
    return adding
  }

  async function addAfter(before: Promise<void>, note: string, signatures: Parameters<typeof addSignatures>[1]): Promise<void> {
    await before
    const { text } = parseNote(note)
    current = { text, note: addSignatures(current?.text === text ? current.note : note, signatures) }
    await cosigned.keep(current.note)
    await onCosigned(current.note)
  }

  const running = witnesses.map(run)
  return {
    async close() {
      over.abort()
      await Promise.all(running)
      for (const witness of witnesses) witness.close()
    },
  }
}
