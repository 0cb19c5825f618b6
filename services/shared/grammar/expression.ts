/** What a GBNF rule says, as a tree. */
export type Expression =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'characters'; readonly ranges: readonly CodePointRange[] }
  | { readonly kind: 'rule'; readonly rule: number }
  | { readonly kind: 'sequence'; readonly items: readonly Expression[] }
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  /** `max` is Infinity when there is none. */
  | { readonly kind: 'repeat'; readonly body: Expression; readonly min: number; readonly max: number }

/** Both ends belong to it. */
export interface CodePointRange {
  readonly low: number
  readonly high: number
}

export interface Rule {
  readonly name: string
  /** Where the text defines it. */
  readonly position: number
  readonly body: Expression
}

export interface Grammar {
  readonly text: string
  readonly rules: readonly Rule[]
  readonly root: number
}

export type GrammarReason = 'syntax' | 'undefined_rule' | 'left_recursion' | 'endless' | 'too_large'

/** A grammar that can't be used, and where. */
export class GrammarError extends Error {
  override readonly name = 'GrammarError'
  /** Counted from 1; columns in UTF-16 units, as editors do. */
  readonly line: number
  readonly column: number
  readonly reason: GrammarReason

  constructor(reason: GrammarReason, message: string, text: string, position: number) {
    const before = text.slice(0, position).split(/\r\n|\n|\r/v)
    const column = (before.at(-1)?.length ?? 0) + 1
    super(`Line ${before.length}, column ${column}: ${message}`)
    this.reason = reason
    this.line = before.length
    this.column = column
  }
}
