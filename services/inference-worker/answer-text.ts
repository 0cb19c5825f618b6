import type { Detokeniser } from './engines/engine.ts'
import { createStopSequences, type StopMatch } from './stop-sequences.ts'
import { createTextStream } from './text-stream.ts'

/** The text of one answer, from its tokens: whole characters, up to the first stop sequence. */
export interface AnswerText {
  push(token: number): StopMatch
  /** The rest, when the answer ends without a stop sequence in it. */
  end(): StopMatch
}

export function createAnswerText(detokenise: Detokeniser, stops: readonly string[]): AnswerText {
  const characters = createTextStream()
  const stop = createStopSequences(stops)
  return {
    push: (token) => stop.push(characters.push(detokenise(token))),
    end() {
      // A stop sequence may hold U+FFFD, and so end with a broken character.
      const last = stop.push(characters.end())
      return last.stopped ? last : { text: last.text + stop.end(), stopped: false }
    },
  }
}
