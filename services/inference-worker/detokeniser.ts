import type { TokenTexts } from '../shared/vocabulary/token-texts.ts'

/** The text that a token brings to an answer, as UTF-8 bytes that may split a character. */
export type Detokeniser = (token: number) => Uint8Array

export interface DetokeniserOptions {
  prompt: readonly number[]
  /** Special tokens that are part of the text, as they are spelt. */
  visible: ReadonlySet<number>
  /** True: the space that the tokeniser would put before the answer is part of it. */
  keepsSpace: boolean
}

/** For one answer. */
export function createDetokeniser(texts: TokenTexts, { prompt, visible, keepsSpace }: DetokeniserOptions): Detokeniser {
  const last = prompt.at(-1)
  // The model learned its answers with that space before them; it is not part of them.
  let skipsSpace = texts.addsSpace && !keepsSpace && (last === undefined || texts.text(last).length === 0)
  return (token) => {
    if (visible.has(token)) return texts.spelling(token)
    const bytes = texts.text(token)
    if (!skipsSpace || bytes.length === 0) return bytes
    skipsSpace = false
    return bytes[0] === 0x20 ? bytes.subarray(1) : bytes
  }
}
