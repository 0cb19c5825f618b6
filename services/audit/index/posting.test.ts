import fc from 'fast-check'
import { expect, test } from 'vitest'
import { blockSize, clearPosition, decodePosting, emptyPosting, encodePosting, intersect, positionsOf, setPosition } from './posting.ts'

const positions = fc.uniqueArray(fc.nat(blockSize - 1), { maxLength: 400 })

function postingOf(list: readonly number[]): Uint8Array {
  const bits = emptyPosting()
  for (const position of list) setPosition(bits, position)
  return bits
}

test('what was set is found, in either order, before and after it was stored', () => {
  fc.assert(
    fc.property(positions, (list) => {
      const bits = postingOf(list)
      const sorted = list.toSorted((a, b) => a - b)
      expect([...positionsOf(bits, 'oldest')]).toEqual(sorted)
      expect([...positionsOf(bits, 'newest')]).toEqual(sorted.toReversed())
      const stored = encodePosting(bits)
      if (stored === undefined) expect(list).toEqual([])
      else {
        expect([...positionsOf(decodePosting(stored), 'oldest')]).toEqual(sorted)
        expect(stored.length).toBe(Math.min(512, 2 * list.length))
      }
    }),
  )
})

test('what was cleared is gone, and nothing else', () => {
  fc.assert(
    fc.property(positions, positions, (list, cleared) => {
      const bits = postingOf(list)
      for (const position of cleared) clearPosition(bits, position)
      expect([...positionsOf(bits, 'oldest')]).toEqual(list.filter((one) => !cleared.includes(one)).toSorted((a, b) => a - b))
    }),
  )
})

test('an intersection has what is in all', () => {
  fc.assert(
    fc.property(fc.array(positions, { minLength: 1, maxLength: 4 }), (lists) => {
      const expected = (lists[0] ?? []).filter((one) => lists.every((list) => list.includes(one))).toSorted((a, b) => a - b)
      expect([...positionsOf(intersect(lists.map(postingOf)), 'oldest')]).toEqual(expected)
    }),
  )
})
