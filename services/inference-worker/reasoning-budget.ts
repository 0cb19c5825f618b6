import type { ReasoningBudget as Budget } from '../../proto/gen/intramuros/v1/inference.ts'

/** Counts the tokens with which a model reasons, and ends the reasoning when there were enough. */
export interface ReasoningBudget {
  /** The text of the next token of the answer, drawn or forced. */
  push(bytes: Uint8Array): void
  /** The token that must come next, while the end of the reasoning is being forced. */
  forced(): number | undefined
  /** Tokens of the reasoning so far; those of its end are part of it, those of its beginning are not. */
  readonly used: number
}

/** For one answer. Only its first reasoning counts. */
export function createReasoningBudget({ tokens, begin, end, endTokens }: Budget): ReasoningBudget {
  let phase: 'before' | 'reasoning' | 'forcing' | 'after' = begin === '' ? 'reasoning' : 'before'
  let awaited = createAwaitedText(phase === 'before' ? begin : end)
  let used = 0
  let forced = 0

  return {
    push(bytes) {
      if (phase === 'before') {
        const rest = awaited.find(bytes)
        if (rest === undefined) return
        phase = 'reasoning'
        awaited = createAwaitedText(end)
        if (awaited.find(rest) !== undefined) phase = 'after'
      } else if (phase === 'reasoning') {
        used += 1
        if (awaited.find(bytes) !== undefined) phase = 'after'
      } else if (phase === 'forcing') {
        used += 1
        if (forced === endTokens.length) phase = 'after'
      }
    },
    forced() {
      if (phase === 'reasoning' && used >= tokens) phase = 'forcing'
      return phase === 'forcing' ? endTokens[forced++] : undefined
    },
    get used() {
      return used
    },
  }
}

/** Finds a text in bytes that come in pieces. */
interface AwaitedText {
  /** What comes behind the text, when these bytes complete it. */
  find(bytes: Uint8Array): Uint8Array | undefined
}

function createAwaitedText(text: string): AwaitedText {
  const wanted = Buffer.from(text)
  let tail = Buffer.alloc(0)
  return {
    find(bytes) {
      const whole = Buffer.concat([tail, bytes])
      const at = whole.indexOf(wanted)
      if (at >= 0) return whole.subarray(at + wanted.length)
      tail = whole.subarray(Math.max(0, whole.length - wanted.length + 1))
      return undefined
    },
  }
}
