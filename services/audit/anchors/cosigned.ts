import { type CheckpointKeys, openCheckpoint } from '../tlog/checkpoint.ts'

/** A checkpoint that witnesses have cosigned. */
export interface Cosigned {
  size: number
  /** The signed note, with the cosignatures. */
  note: string
  /** How many witnesses have. */
  witnesses: number
}

/** Reads one. Throws MalformedError and UnverifiedError; undefined when no witness that is known has cosigned it. */
export function readCosigned(note: string, keys: CheckpointKeys): Cosigned | undefined {
  const { size, cosigned } = openCheckpoint(note, keys)
  return cosigned.length === 0 ? undefined : { size, note, witnesses: cosigned.length }
}

/**
 * What is worth keeping, the newest first: one more, less those that a newer one with as many witnesses makes needless. So there are never
 * more than witnesses.
 */
export function keepCosigned(kept: readonly Cosigned[], added: Cosigned): Cosigned[] {
  const all = [...kept.filter(({ size }) => size !== added.size), added].toSorted((a, b) => b.size - a.size)
  let most = 0
  return all.filter(({ witnesses }) => {
    if (witnesses <= most) return false
    most = witnesses
    return true
  })
}

/** The one with the most witnesses that has so many records; of several the newest. */
export function cosignedOf(kept: readonly Cosigned[], size: number): Cosigned | undefined {
  return kept.findLast((one) => one.size >= size)
}
