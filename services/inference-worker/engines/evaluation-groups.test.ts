import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseGroups, inGroups } from './evaluation-groups.ts'

/** SmolLM2-135M on one core: Q4_1 and Q8_0 (docs/benchmarks.md), and a GPU, where a step costs what its weights cost. */
const q41 = new Map([[1, 6.8], [2, 17.8], [3, 24.1], [4, 30.2], [5, 39.6], [6, 45.1], [7, 49.4], [8, 48.1], [12, 66.9], [16, 81.1]])
const q80 = new Map([[1, 6.7], [2, 28], [3, 32.4], [4, 37.4], [5, 45.1], [6, 49], [7, 52.1], [8, 46.6], [12, 54.7], [15, 66], [16, 50.9]])
const gpu = new Map([[1, 8], [2, 8.1], [4, 8.1], [8, 8.3], [16, 8.6]])

/** As llama.cpp does it, of sequences with one or more tokens each: the sizes of its evaluations, in tokens. */
function evaluations(entries: readonly { sequence: number; tokens: Uint32Array }[]): number[] {
  const left = entries.map(({ sequence, tokens }) => ({ sequence, tokens: tokens.length }))
  const sizes: number[] = []
  for (;;) {
    const joined: typeof left = []
    for (const entry of left) {
      if (entry.tokens > 0 && (joined.length === 0 || entry.sequence === (joined.at(-1)?.sequence ?? 0) + 1)) joined.push(entry)
    }
    if (joined.length === 0) return sizes
    const each = Math.min(...joined.map(({ tokens }) => tokens))
    for (const entry of joined) entry.tokens -= each
    sizes.push(each * joined.length)
  }
}

const entry = (sequence: number, count = 1) => ({ sequence, tokens: new Uint32Array(count) })

describe('groups of an evaluation', () => {
  test('what costs less apart is evaluated apart', () => {
    const groups = chooseGroups(q41)
    expect(groups?.of(2)).toEqual([1, 1])
    expect(groups?.of(7)).toEqual([7])
    expect(groups?.of(8)).toEqual([8])
    expect(groups?.of(10)).toEqual([10])
    expect(groups?.of(16)).toEqual([16])
    expect(chooseGroups(q80)?.of(7)).toEqual([1, 1, 1, 1, 1, 1, 1])
    expect(chooseGroups(q80)?.of(15)).toEqual([15])
    expect(groups?.of(33)).toEqual([16, 16, 1])
  })

  test('where the weights are what costs, all are evaluated together', () => {
    expect(chooseGroups(gpu)).toBeUndefined()
    expect(chooseGroups(new Map([[1, 5]]))).toBeUndefined()
  })

  test('no gain that may be noise makes groups', () => {
    expect(chooseGroups(new Map([[1, 10], [2, 20.5], [3, 31]]))).toBeUndefined()
  })

  test('groups hold all, and cost no more than together', () => {
    const curve = fc.array(fc.double({ min: 0.1, max: 100, noNaN: true }), { minLength: 1, maxLength: 24 })
    fc.assert(
      fc.property(curve, (costs) => {
        const measured = new Map(costs.map((ms, index) => [index + 1, ms]))
        const groups = chooseGroups(measured)
        for (let count = 1; count <= costs.length; count += 1) {
          const sizes = groups?.of(count) ?? [count]
          expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(count)
          expect(sizes.reduce((sum, size) => sum + (measured.get(size) ?? Number.NaN), 0)).toBeLessThanOrEqual(measured.get(count) ?? 0)
        }
      }),
    )
  })
})

describe('the order of a batch', () => {
  test('makes llama.cpp evaluate the groups, and prompts apart from answers', () => {
    const groups = chooseGroups(q41)
    expect(evaluations(inGroups([entry(2), entry(0), entry(1)], groups))).toEqual([1, 1, 1])
    expect(evaluations(inGroups(Array.from({ length: 8 }, (_, index) => entry(7 - index)), groups))).toEqual([8])
    expect(evaluations(inGroups([entry(0), entry(1, 30), entry(2)], groups))).toEqual([1, 30, 1])
    expect(evaluations(inGroups([entry(0, 30), entry(1, 30)], groups))).toEqual([60])
    expect(evaluations(inGroups([entry(0), entry(1, 30), entry(2)], undefined))).toEqual([3, 29])
  })

  test('loses nothing, whoever has a part', () => {
    const some = fc.uniqueArray(fc.record({ sequence: fc.nat(40), count: fc.constantFrom(1, 1, 1, 5, 30) }), { selector: ({ sequence }) => sequence, minLength: 1 })
    fc.assert(
      fc.property(some, fc.constantFrom(chooseGroups(q41), chooseGroups(q80), undefined), (list, groups) => {
        const entries = list.map(({ sequence, count }) => entry(sequence, count))
        const ordered = inGroups(entries, groups)
        expect(new Set(ordered)).toEqual(new Set(entries))
        const sum = entries.reduce((all, { tokens }) => all + tokens.length, 0)
        expect(evaluations(ordered).reduce((all, size) => all + size, 0)).toBe(sum)
        if (groups === undefined) return
        const singles = entries.filter(({ tokens }) => tokens.length === 1).length
        // Each single token is in an evaluation of single tokens.
        expect(evaluations(inGroups(entries.filter(({ tokens }) => tokens.length === 1), groups)).reduce((all, size) => all + size, 0)).toBe(singles)
      }),
    )
  })
})
