import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStopSequences } from './stop-sequences.ts'

interface Result {
  texts: string[]
  stop: string | undefined
}

function run(pieces: readonly string[], stops: readonly string[], until: readonly string[] = []): Result {
  const sequences = createStopSequences(stops, until)
  const texts: string[] = []
  for (const piece of pieces) {
    const { text, stop } = sequences.push(piece)
    texts.push(text)
    if (stop !== undefined) return { texts, stop }
  }
  return { texts: [...texts, sequences.end()], stop: undefined }
}

/** The definition, letter by letter. */
function expected(text: string, stops: readonly string[]): { text: string; stop: string | undefined } {
  for (let end = 1; end <= text.length; end += 1) {
    const complete = stops.filter((stop) => text.slice(0, end).endsWith(stop))
    const [longest] = complete.toSorted((a, b) => b.length - a.length)
    if (longest !== undefined) return { text: text.slice(0, end - longest.length), stop: longest }
  }
  return { text, stop: undefined }
}

// Few letters, so that sequences come, overlap and almost come.
const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🦉'), maxLength: 24 })
const stopLists = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🦉'), minLength: 1, maxLength: 4 }), {
  maxLength: 4,
})

describe('stop sequences before a call', () => {
  test.each([
    ['<call>{"name"}', ['name'], '<call>{"name"}', undefined],
    ['a name <call>{"name"}', ['name'], 'a ', 'name'],
    ['a <call>', ['<'], 'a ', '<'],
    ['a <call>', ['<call>'], 'a ', '<call>'],
    ['a <call>{}', ['l>{'], 'a <call>{}', undefined],
  ])('%j stopped at %j', (text, stops, expected, stop) => {
    for (const pieces of [[text], Array.from(text)]) {
      const result = run(pieces, stops, ['<call>'])
      expect(result.texts.join('')).toBe(expected)
      expect(result.stop).toBe(stop)
    }
  })

  test('any pieces give the same', () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stopLists, stopLists, (pieces, stops, until) => {
        const cut = run(pieces, stops, until)
        const whole = run([pieces.join('')], stops, until)
        expect([cut.texts.join(''), cut.stop]).toEqual([whole.texts.join(''), whole.stop])
      }),
    )
  })
})

describe('stop sequences', () => {
  test('any pieces give what the definition says', () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stopLists, (pieces, stops) => {
        const { texts, stop } = run(pieces, stops)
        expect({ text: texts.join(''), stop }).toEqual(expected(pieces.join(''), stops))
      }),
      { numRuns: 2000 },
    )
  })

  test('no more is held back than may be the beginning of one', () => {
    fc.assert(
      fc.property(letters, stopLists, (text, stops) => {
        const sequences = createStopSequences(stops)
        const { text: shown, stop } = sequences.push(text)
        if (stop !== undefined) return
        const held = text.slice(shown.length)
        expect(held === '' || stops.some((stop) => stop.length > held.length && stop.startsWith(held))).toBe(true)
      }),
    )
  })

  test('a beginning that does not go on is shown as soon as that is clear', () => {
    const sequences = createStopSequences(['</answer>'])
    expect(sequences.push('4 <')).toEqual({ text: '4 ', stop: undefined })
    expect(sequences.push('/ans')).toEqual({ text: '', stop: undefined })
    expect(sequences.push('ers')).toEqual({ text: '</ansers', stop: undefined })
  })

  test('nothing of a sequence is shown, even one over many pieces', () => {
    expect(run(['one ST', 'O', 'P two'], ['STOP'])).toEqual({ texts: ['one ', '', ''], stop: 'STOP' })
  })
})
