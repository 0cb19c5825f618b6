import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Cosigned, cosignedOf, keepCosigned } from './cosigned.ts'

const one = fc.record({ size: fc.nat(30), witnesses: fc.integer({ min: 1, max: 4 }) }).map(({ size, witnesses }): Cosigned => ({ size, witnesses, note: `${size} ${witnesses}` }))

test('for every size there is as good a checkpoint as was ever added, and not more are kept than there are witnesses', () => {
  fc.assert(
    fc.property(fc.uniqueArray(one, { selector: ({ size }) => size }), (all) => {
      const kept = all.reduce(keepCosigned, [] as Cosigned[])
      expect(kept.length).toBeLessThanOrEqual(4)
      for (let size = 0; size <= 31; size++) {
        const candidates = all.filter((each) => each.size >= size)
        const most = Math.max(0, ...candidates.map(({ witnesses }) => witnesses))
        const best = candidates.filter(({ witnesses }) => witnesses === most).toSorted((a, b) => b.size - a.size)[0]
        expect(cosignedOf(kept, size)).toEqual(best)
      }
    }),
  )
})

test('a checkpoint that more have cosigned takes the place of itself', () => {
  const first = { size: 5, witnesses: 1, note: 'a' }
  expect(keepCosigned([first], { size: 5, witnesses: 2, note: 'ab' })).toEqual([{ size: 5, witnesses: 2, note: 'ab' }])
})
