import type { TokenTexts } from '../shared/vocabulary/token-texts.ts'

/** The text of token ids, special tokens spelt out. A broken character is U+FFFD. */
export function detokenise(texts: TokenTexts, ids: readonly number[]): string {
  return Buffer.concat(ids.map((id) => texts.spelling(id))).toString()
}
