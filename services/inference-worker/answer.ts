import type { GenerateRequest, TextDelta, TokenLogprob } from '../../proto/gen/intramuros/v1/inference.ts'
import { type AnswerGuide, createAnswerGuide } from './answer-guide.ts'
import { createAnswerText } from './answer-text.ts'
import type { Constraint } from './constraint/constraint.ts'
import { createDetokeniser } from './detokeniser.ts'
import type { DecodedToken } from './engines/engine.ts'
import type { TokenTexts } from '../shared/vocabulary/token-texts.ts'
import { createReasoningBudget } from './reasoning-budget.ts'

/** One answer, from its tokens: what is sent of it, and what guides it. */
export interface Answer {
  readonly guide: AnswerGuide | undefined
  /** Tokens of the reasoning, when there is a budget for it. */
  readonly reasoningTokens: number
  /** The next token; with `last`, the last one, because it ends the turn or the limit is reached. */
  push(decoded: DecodedToken, last: 'turn' | 'limit' | undefined): AnswerPiece
  /** There are no more, and none of them was the last one: what was held back. */
  end(why: 'turn' | 'limit'): AnswerPiece
}

export interface AnswerPiece {
  /**
   * Text that is certain now, with the tokens and log-probabilities since the last delta. A token that ends the turn unseen is
   * in none, nor are those at the very end that brought no text: of a stop sequence, or of a character that the limit cut.
   */
  delta: TextDelta | undefined
  /** The stop sequence that has come. */
  stop: string | undefined
}

const none = new Uint8Array(0)

export function createAnswer(texts: TokenTexts, request: GenerateRequest, constraint: Constraint | undefined): Answer {
  const visible = new Set(request.visibleTokens)
  // A grammar that holds from the beginning has a say in that space, too.
  const keepsSpace = request.constraint?.after.length === 0
  const detokenise = createDetokeniser(texts, { prompt: request.tokens, visible, keepsSpace })
  const text = createAnswerText(request.stop, request.stopUntil)
  const budget = request.reasoningBudget === undefined ? undefined : createReasoningBudget(request.reasoningBudget)
  const guide = createAnswerGuide(constraint, budget)
  let tokens: number[] = []
  let logprobs: TokenLogprob[] = []

  function release(bytes: Uint8Array, last: 'turn' | 'limit' | undefined): AnswerPiece {
    const piece = text.push(bytes, last)
    if (piece.text === '') return { delta: undefined, stop: piece.stop }
    // Of the token with which a stop sequence began before the text's end, nothing may be told.
    const told = piece.stop === undefined ? logprobs : within(logprobs, Buffer.byteLength(piece.text))
    const delta = { text: piece.text, tokens, logprobs: told }
    tokens = []
    logprobs = []
    return { delta, stop: piece.stop }
  }

  return {
    guide,
    get reasoningTokens() {
      return budget?.used ?? 0
    },
    end: (why) => release(none, why),
    push(decoded, last) {
      const { token } = decoded
      const unseen = last === 'turn' && !visible.has(token)
      const bytes = unseen ? none : detokenise(token)
      if (last !== 'turn') guide?.push(token, bytes)
      if (!unseen) {
        tokens.push(token)
        if (decoded.logprobs !== undefined) logprobs.push(tokenLogprob(texts, decoded.token, bytes, decoded.logprobs))
      }
      return release(bytes, last)
    },
  }
}

/** The first of them, as far as their texts lie within so many bytes. */
function within(logprobs: readonly TokenLogprob[], bytes: number): TokenLogprob[] {
  let end = 0
  return logprobs.filter(({ token }) => {
    end += token?.text.length ?? 0
    return end <= bytes
  })
}

function tokenLogprob(
  texts: TokenTexts,
  token: number,
  bytes: Uint8Array,
  { logprob, top }: NonNullable<DecodedToken['logprobs']>,
): TokenLogprob {
  const entry = (token: number, text: Uint8Array, logprob: number) => ({ token, text: Buffer.from(text), logprob })
  return {
    token: entry(token, bytes.length > 0 ? bytes : texts.spelling(token), logprob),
    top: top.map(({ token, logprob }) => entry(token, texts.spelling(token), logprob)),
  }
}
