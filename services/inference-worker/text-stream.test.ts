import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createTextStream } from './text-stream.ts'

function inPieces(bytes: Uint8Array, cuts: readonly number[]): string[] {
  const stream = createTextStream()
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].toSorted((a, b) => a - b)
  const texts = places.slice(1).map((end, index) => stream.push(bytes.subarray(places[index], end)))
  return [...texts, stream.end()]
}

test('valid text in any pieces is the same text, each piece of whole characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.array(fc.nat()), (text, cuts) => {
      const texts = inPieces(Buffer.from(text), cuts)
      expect(texts.join('')).toBe(text)
      for (const piece of texts) expect(piece.isWellFormed()).toBe(true)
      expect(texts.at(-1)).toBe('')
    }),
  )
})

test('any bytes in any pieces give what they give at once', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.array(fc.nat()), (bytes, cuts) => {
      expect(inPieces(bytes, cuts).join('')).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))
    }),
  )
})

test('an emoji is held back until its last byte, and shown as broken only at the end', () => {
  const bytes = Buffer.from('🦉')
  const stream = createTextStream()
  expect([...bytes].map((byte) => stream.push(Uint8Array.of(byte)))).toEqual(['', '', '', '🦉'])
  expect(stream.push(bytes.subarray(0, 3))).toBe('')
  expect(stream.end()).toBe('\uFFFD')
})

test('a byte order mark is a character like any other', () => {
  expect(inPieces(Buffer.from('\uFEFFa\uFEFF'), [1, 2]).join('')).toBe('\uFEFFa\uFEFF')
})
