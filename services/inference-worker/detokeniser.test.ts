import { describe, expect, test } from 'vitest'
import { createDetokeniser, type Detokeniser } from './detokeniser.ts'
import { createTokenTexts, type TokenKind } from '../shared/vocabulary/token-texts.ts'

function table(model: string, entries: readonly [string, TokenKind][], addsSpace = false) {
  const texts = createTokenTexts({
    model,
    tokens: entries.map(([text]) => text),
    kindOf: (token) => entries[token]?.[1] ?? 'special',
    addsSpace,
  })
  return (prompt: readonly number[], { visible = [] as number[], keepsSpace = false } = {}) =>
    createDetokeniser(texts, { prompt, visible: new Set(visible), keepsSpace })
}

function text(detokenise: Detokeniser, tokens: readonly number[]): string {
  return Buffer.concat(tokens.map(detokenise)).toString()
}

describe('byte-level BPE', () => {
  const tokens = table('gpt2', [
    ['<|im_end|>', 'special'],
    ['Hello', 'text'],
    ['ĠworldĊ', 'text'],
    ['ðŁ', 'text'],
    ['¦', 'text'],
    ['ī', 'text'],
    ['Ġ literal', 'literal'],
  ])

  test('letters stand for bytes, and an emoji may be split', () => {
    expect(text(tokens([0]), [1, 2])).toBe('Hello world\n')
    expect(text(tokens([0]), [3, 4, 5])).toBe('🦉')
  })

  test('added tokens are text as it is, special ones none', () => {
    expect(text(tokens([0]), [6, 0, 1])).toBe('Ġ literalHello')
  })

  test('a special token that is to be seen is text as it is spelt', () => {
    expect(text(tokens([0], { visible: [0] }), [1, 0, 2])).toBe('Hello<|im_end|> world\n')
  })

  test('every byte has its letter', () => {
    // The whole of GPT-2's table, made the other way round.
    const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte))
    const letters = Array.from({ length: 256 }, (_, byte): [string, TokenKind] => [
      String.fromCodePoint(printable(byte) ? byte : 256 + others.indexOf(byte)),
      'text',
    ])
    const detokenise = table('gpt2', letters)([])
    for (let byte = 0; byte < 256; byte += 1) expect([...detokenise(byte)]).toEqual([byte])
  })
})

describe('SentencePiece', () => {
  const entries: [string, TokenKind][] = [
    ['</s>', 'special'],
    ['\u2581Hello', 'text'],
    ['\u2581world', 'text'],
    ['<0xF0>', 'byte'],
    ['<0x9F>', 'byte'],
    ['<0xA6>', 'byte'],
    ['<0x89>', 'byte'],
    ['<0x41>', 'text'],
  ]

  test('the space that the tokeniser puts first is not part of the answer', () => {
    const tokens = table('llama', entries, true)
    expect(text(tokens([1, 0]), [1, 2])).toBe('Hello world')
    expect(text(tokens([]), [0, 1, 2])).toBe('Hello world')
    expect(text(tokens([0, 1]), [2, 1])).toBe(' world Hello')
  })

  test('unless a grammar has a say in it', () => {
    expect(text(table('llama', entries, true)([1, 0], { keepsSpace: true }), [1, 2])).toBe(' Hello world')
  })

  test('a vocabulary without it keeps every space', () => {
    expect(text(table('llama', entries)([0]), [1, 2])).toBe(' Hello world')
  })

  test('byte tokens are bytes, and only they', () => {
    expect(text(table('llama', entries)([0]), [3, 4, 5, 6, 7])).toBe('🦉<0x41>')
  })
})
