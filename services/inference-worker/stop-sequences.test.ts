import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStopSequences } from './stop-sequences.ts'

interface Result {
  texts: string[]
  stopped: boolean
}

function run(pieces: readonly string[], stops: readonly string[]): Result {
  const sequences = createStopSequences(stops)
  const texts: string[] = []
  for (const piece of pieces) {
    const { text, stopped } = sequences.push(piece)
    texts.push(text)
    if (stopped) return { texts, stopped }
  }
  return { texts: [...texts, sequences.end()], stopped: false }
}

/** The definition, letter by letter. */
function expected(text: string, stops: readonly string[]): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end += 1) {
    const complete = stops.filter((stop) => text.slice(0, end).endsWith(stop))
    if (complete.length > 0) return { text: text.slice(0, end - Math.max(...complete.map((stop) => stop.length))), stopped: true }
  }
  return { text, stopped: false }
}

// Few letters, so that sequences come, overlap and almost come.
const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🦉'), maxLength: 24 })
const stopLists = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🦉'), minLength: 1, maxLength: 4 }), {
  maxLength: 4,
})

describe('stop sequences', () => {
  test('any pieces give what the definition says', () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), stopLists, (pieces, stops) => {
        const { texts, stopped } = run(pieces, stops)
        expect({ text: texts.join(''), stopped }).toEqual(expected(pieces.join(''), stops))
      }),
      { numRuns: 2000 },
    )
  })

  test('no more is held back than may be the beginning of one', () => {
    fc.assert(
      fc.property(letters, stopLists, (text, stops) => {
        const sequences = createStopSequences(stops)
        const { text: shown, stopped } = sequences.push(text)
        if (stopped) return
        const held = text.slice(shown.length)
        expect(held === '' || stops.some((stop) => stop.length > held.length && stop.startsWith(held))).toBe(true)
      }),
    )
  })

  test('a beginning that does not go on is shown as soon as that is clear', () => {
    const sequences = createStopSequences(['</answer>'])
    expect(sequences.push('4 <')).toEqual({ text: '4 ', stopped: false })
    expect(sequences.push('/ans')).toEqual({ text: '', stopped: false })
    expect(sequences.push('ers')).toEqual({ text: '</ansers', stopped: false })
  })

  test('nothing of a sequence is shown, even one over many pieces', () => {
    expect(run(['one ST', 'O', 'P two'], ['STOP'])).toEqual({ texts: ['one ', '', ''], stopped: true })
  })
})
