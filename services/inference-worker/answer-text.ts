import type { Detokeniser } from './engines/engine.ts'
import { createStopSequences, type StopMatch } from './stop-sequences.ts'
import { createTextStream } from './text-stream.ts'

/** The text of one answer, from its tokens: whole characters, up to the first stop sequence. */
export interface AnswerText {
  /**
   * The text that a token brings, or, for an end-of-generation token, undefined. With `last` also what was held back, unless
   * a stop sequence came.
   */
  push(token: number | undefined, last: boolean): StopMatch
}

export function createAnswerText(detokenise: Detokeniser, stops: readonly string[]): AnswerText {
  const characters = createTextStream()
  const stop = createStopSequences(stops)
  return {
    push(token, last) {
      let text = token === undefined ? '' : characters.push(detokenise(token))
      // A character that the token limit cut in two is left out; only a model that ends its turn inside one has written broken text.
      if (token === undefined && last) text += characters.end()
      const match = stop.push(text)
      return last && !match.stopped ? { text: match.text + stop.end(), stopped: false } : match
    },
  }
}
