import type { Problem } from './config-error.ts'
import type { Field } from './fields.ts'

/** A value as one source gives it, not checked yet. */
export interface Setting {
  readonly field: Field
  readonly value: unknown
  /** Where a place inside the value stands; [] for the value itself. */
  originOf(at: readonly (string | number)[], atKey?: boolean): string
}

/** What one source says: settings by path, and what is wrong with the source itself, like names that are unknown. */
export interface Layer {
  readonly settings: ReadonlyMap<string, Setting>
  readonly problems: readonly Problem[]
}
