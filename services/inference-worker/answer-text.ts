import { createStopSequences, type StopMatch } from './stop-sequences.ts'
import { createTextStream } from './text-stream.ts'

/** The text of one answer, from the bytes of its tokens: whole characters, up to the first stop sequence. */
export interface AnswerText {
  /**
   * The text that bytes bring. With `end` also what was held back, unless a stop sequence came: they are the last ones,
   * because the model ended its turn or the limit is reached.
   */
  push(bytes: Uint8Array, end: 'turn' | 'limit' | undefined): StopMatch
}

export function createAnswerText(stops: readonly string[], until: readonly string[]): AnswerText {
  const characters = createTextStream()
  const sequences = createStopSequences(stops, until)
  return {
    push(bytes, end) {
      let text = characters.push(bytes)
      // A character that the limit cut in two is left out; only a model that ends its turn inside one has written broken text.
      if (end === 'turn') text += characters.end()
      const match = sequences.push(text)
      return end === undefined || match.stop !== undefined ? match : { text: match.text + sequences.end(), stop: undefined }
    },
  }
}
