/**
 * What a token stands for: ordinary text in the vocabulary's own spelling, text as it is, a byte (SentencePiece), or nothing
 * that is text.
 */
export type TokenKind = 'text' | 'literal' | 'byte' | 'special'

export interface TokenTable {
  /** `tokenizer.ggml.model`: "gpt2" is byte-level BPE; "llama" and "t5" are SentencePiece. */
  model: string
  tokens: readonly string[]
  kindOf(token: number): TokenKind
  /** True if the tokeniser puts a space before text that begins the prompt or follows a special token. */
  addsSpace: boolean
}

export const knownVocabularies: readonly string[] = ['gpt2', 'llama', 't5']

/** The texts of a vocabulary's tokens, as UTF-8 bytes that may split a character. */
export interface TokenTexts {
  /** Special tokens have none. */
  text(token: number): Uint8Array
  /** The text, or, for a special token, how it is spelt. */
  spelling(token: number): Uint8Array
  /** True if the tokeniser puts a space before text that begins the prompt or follows a special token. */
  readonly addsSpace: boolean
}

const none = new Uint8Array(0)
const encoder = new TextEncoder()

/**
 * Tokens to bytes, as llama.cpp's `llama_token_to_piece`. Not its `llama_detokenize`, which is for whole texts: it makes whole
 * strings (an incomplete character becomes U+FFFD) and may remove spaces before punctuation.
 */
export function createTokenTexts({ model, tokens, kindOf, addsSpace }: TokenTable): TokenTexts {
  const bytesOf = model === 'gpt2' ? bytesOfByteLevel : bytesOfSentencePiece
  const known: (Uint8Array | undefined)[] = []

  function text(token: number): Uint8Array {
    let found = known[token]
    if (found === undefined) {
      found = bytesOf(tokens[token] ?? '', kindOf(token))
      known[token] = found
    }
    return found
  }

  return {
    text,
    spelling: (token) => (kindOf(token) === 'special' ? encoder.encode(tokens[token]) : text(token)),
    addsSpace,
  }
}

function bytesOfSentencePiece(text: string, kind: TokenKind): Uint8Array {
  if (kind === 'text') return encoder.encode(text.replaceAll('\u2581', ' '))
  if (kind === 'literal') return encoder.encode(text)
  const hexadecimal = kind === 'byte' ? /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1] : undefined
  return hexadecimal === undefined ? none : Uint8Array.of(Number.parseInt(hexadecimal, 16))
}

function bytesOfByteLevel(text: string, kind: TokenKind): Uint8Array {
  if (kind === 'literal') return encoder.encode(text)
  if (kind !== 'text') return none
  const bytes: number[] = []
  for (const character of text) {
    const byte = byteOfCharacter.get(character)
    if (byte === undefined) bytes.push(...encoder.encode(character))
    else bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}

/**
 * GPT-2's stand-ins for bytes (openai/gpt-2 `src/encoder.py`, bytes_to_unicode): printable Latin-1 bytes stand for
 * themselves, the others, in order, for U+0100 and up.
 */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte += 1) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    map.set(String.fromCodePoint(printable ? byte : next), byte)
    if (!printable) next += 1
  }
  return map
})()
