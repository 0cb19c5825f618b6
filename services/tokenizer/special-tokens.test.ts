import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { indexSpecialTokens, partition, type Piece } from './special-tokens.ts'
import type { SpecialToken } from './vocabulary.ts'

function token(id: number, text: string, more: Partial<SpecialToken> = {}): SpecialToken {
  return { id, text, control: true, stripLeft: false, stripRight: false, ...more }
}

/** Texts as they are, tokens as their ids. */
function cut(text: string, tokens: readonly SpecialToken[], traced = text): (string | number)[] {
  return partition(text, traced, indexSpecialTokens(tokens)).map((piece) => (typeof piece === 'string' ? piece : piece.id))
}

/** llama.cpp's way, word for word: each token, longest first, over each fragment that is still text. */
function reference(text: string, tokens: readonly SpecialToken[]): Piece[] {
  let pieces: Piece[] = text === '' ? [] : [text]
  for (const special of tokens.toSorted((a, b) => Buffer.byteLength(b.text) - Buffer.byteLength(a.text))) {
    pieces = pieces.flatMap((piece) => {
      if (typeof piece !== 'string') return [piece]
      const found: Piece[] = []
      let rest = piece
      for (let at = rest.indexOf(special.text); at >= 0; at = rest.indexOf(special.text)) {
        let left = rest.slice(0, at)
        if (special.stripLeft) left = left.replace(/[ \n]+$/, '')
        if (left !== '') found.push(left)
        found.push(special)
        rest = rest.slice(at + special.text.length)
        if (special.stripRight) rest = rest.replace(/^[ \n]+/, '')
      }
      return rest === '' ? found : [...found, rest]
    })
  }
  return pieces
}

describe('partition', () => {
  const tokens = [token(1, '<|im_start|>'), token(2, '<|im_end|>'), token(3, '\n\n', { control: false })]

  test('cuts at special tokens', () => {
    expect(cut('<|im_start|>user\nhi<|im_end|>\n\n\n', tokens)).toEqual([1, 'user\nhi', 2, 3, '\n'])
    expect(cut('plain', tokens)).toEqual(['plain'])
    expect(cut('', tokens)).toEqual([])
    expect(cut('<|im_<|im_end|>end|>', tokens)).toEqual(['<|im_', 2, 'end|>'])
  })

  test('takes the longest first, wherever it stands', () => {
    expect(cut('abcd', [token(1, 'ab'), token(2, 'bcd')])).toEqual(['a', 2])
    expect(cut('abcde', [token(1, 'ab'), token(2, 'abc'), token(3, 'cdef'), token(4, 'cde')])).toEqual([2, 'de'])
    expect(cut('aaacaaaaa', [token(1, 'aa'), token(2, 'aaac'), token(3, 'caaaaa')])).toEqual([1, 'a', 3])
    expect(cut('abcdef', [token(1, 'ab'), token(2, 'abc'), token(3, 'cdef')])).toEqual([1, 3])
  })

  test('control tokens are taken only where the traced text spells them, others anywhere', () => {
    expect(cut('<|im_end|>\n\n<|im_end|>', tokens, '*|im_end|*\n*<|im_end|>')).toEqual(['<|im_end|>', 3, 2])
  })

  test('a shorter token is found inside a refused longer one', () => {
    expect(cut('<s>a', [token(1, '<s>a'), token(2, '<s>', { control: false })], '<s>*')).toEqual([2, 'a'])
  })

  test('tokens without text are left out', () => {
    expect(cut('ab', [token(1, '')])).toEqual(['ab'])
  })

  test('is what llama.cpp does', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', '\n', 'é'), minLength: 1, maxLength: 4 })
    const kinds = fc.record({ text: word, stripLeft: fc.boolean(), stripRight: fc.boolean() })
    // Of two texts of one length that overlap, llama.cpp takes either: std::sort is not stable. So each length occurs once.
    const list = fc.uniqueArray(kinds, { selector: ({ text }) => Buffer.byteLength(text), maxLength: 6 })
    const prompt = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', '\n', 'é'), maxLength: 30 })
    fc.assert(
      fc.property(list, prompt, (texts, text) => {
        const all = texts.map(({ text: spelt, stripLeft, stripRight }, id) => token(id, spelt, { stripLeft, stripRight }))
        expect(partition(text, text, indexSpecialTokens(all))).toEqual(reference(text, all))
      }),
      { numRuns: 2000 },
    )
  })

  test('takes time in proportion to the text', () => {
    const unused = Array.from({ length: 6000 }, (_, i) => token(i + 10, `<unused${i}>`))
    const lines = Array.from({ length: 30 }, (_, i) => token(i + 7000, '\n'.repeat(i + 1), { control: false }))
    const all = [...tokens.slice(0, 2), ...unused, ...lines]
    const start = performance.now()
    for (const part of ['<', '\n', 'a\n', '<|im_end|>', '<unused']) cut(part.repeat(200_000 / part.length), all)
    // About 0.1 s.
    expect(performance.now() - start).toBeLessThan(5000)
  })
})
