import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMaskCache, packMask, unpackMask } from './mask.ts'

test('a mask comes back as it was', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1), { minLength: 1, maxLength: 50 }), (entries) => {
      const mask = packMask(Uint8Array.from(entries))
      expect(mask.tokens.length).toBeLessThanOrEqual(entries.length / 2)
      expect(mask.empty).toBe(!entries.includes(0))
      const unpacked = new Uint8Array(entries.length).fill(7)
      unpackMask(mask, unpacked)
      expect([...unpacked]).toEqual(entries)
    }),
  )
})

test('the masks that were not asked for longest go first, when they take too much', () => {
  const cache = createMaskCache<string>(2000)
  let made = 0
  const make = () => {
    made++
    // 150 tokens of four bytes, and what a mask takes beside.
    return packMask(Uint8Array.from({ length: 300 }, (_, index) => index % 2))
  }
  const first = cache.get('first', make)
  cache.get('second', make)
  expect(cache.get('first', make)).toBe(first)
  cache.get('third', make)
  expect(made).toBe(3)
  expect(cache.get('first', make)).toBe(first)
  expect(made).toBe(3)
  cache.get('second', make)
  expect(made).toBe(4)
  // What went is not counted any more.
  for (const name of ['a', 'b', 'c', 'd']) cache.get(name, make)
  cache.get('d', make)
  cache.get('c', make)
  expect(made).toBe(8)
  cache.clear()
  cache.get('d', make)
  expect(made).toBe(9)
})
