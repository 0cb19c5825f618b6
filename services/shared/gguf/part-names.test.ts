import fc from 'fast-check'
import { expect, test } from 'vitest'
import { partName, partsAfter } from './part-names.ts'

const padded = (number: number): string => String(number).padStart(5, '0')

test('the names of further parts follow from the first', () => {
  expect(partsAfter('/a/m-00001-of-00003.gguf')).toEqual(['/a/m-00002-of-00003.gguf', '/a/m-00003-of-00003.gguf'])
  fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 50 }), (stem, total) => {
    const first = `${stem}-00001-of-${padded(total)}.gguf`
    const parts = partsAfter(first)
    expect(parts).toHaveLength(total - 1)
    for (const [index, part] of parts.entries()) {
      expect(partName(part)).toEqual({ number: index + 2, total })
      expect(part.startsWith(`${stem}-`)).toBe(true)
    }
  }))
})

test.each(['m.gguf', 'm-00001-of-00003.gguf.age', 'm-1-of-3.gguf', 'm-00001-of-00003.GGUF', 'm-00001-of-00003.gguf\n', '00001-of-00003.gguf'])('%j is no part', (name) => {
  expect(partName(name)).toBeUndefined()
  expect(partsAfter(name)).toEqual([])
})

test('a folder called as a part makes none of the file', () => {
  expect(partName('/a/m-00001-of-00003.gguf/m.gguf')).toBeUndefined()
})
