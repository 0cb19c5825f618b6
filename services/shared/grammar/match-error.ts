export type MatchReason =
  /** The grammar can be read in too many ways at once. */
  | 'too_ambiguous'
  /** The text nests deeper than the matcher follows. */
  | 'too_deep'
  /** No token of the vocabulary goes on from here. */
  | 'dead_end'

/** Why a text can't be matched any further although the grammar is in order. */
export class MatchError extends Error {
  override readonly name = 'MatchError'
  readonly reason: MatchReason

  constructor(reason: MatchReason, message: string) {
    super(message)
    this.reason = reason
  }
}
