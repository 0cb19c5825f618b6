import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editDistance, suggest } from './suggest.ts'

describe('editDistance', () => {
  test.each([
    ['', '', 0],
    ['port', 'port', 0],
    ['prot', 'port', 1],
    ['prt', 'port', 1],
    ['poort', 'port', 1],
    ['pirt', 'port', 1],
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
    // The optimal string alignment form, where the unrestricted one would say 2.
    ['ca', 'abc', 3],
  ])('%j to %j is %i', (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance)
  })

  test('is zero only for the same text, the same both ways, and at most the longer length', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 })
    fc.assert(
      fc.property(text, text, (one, other) => {
        const distance = editDistance(one, other)
        expect(distance === 0).toBe(one === other)
        expect(distance).toBe(editDistance(other, one))
        expect(distance).toBeLessThanOrEqual(Math.max(one.length, other.length))
        expect(distance).toBeGreaterThanOrEqual(Math.abs(one.length - other.length))
      }),
    )
  })
})

describe('suggest', () => {
  const names = ['port', 'host', 'maxBodyBytes', 'maxQueued', 'queueTimeoutSeconds', 'smollm2-135m-instruct']

  test.each([
    ['prot', 'port'],
    ['PORT', 'port'],
    ['max_body_bytes', 'maxBodyBytes'],
    ['max-queue', 'maxQueued'],
    ['smollm2', 'smollm2-135m-instruct'],
    ['hostname', 'host'],
    ['ports', 'port'],
  ])('%j was meant as %j', (name, meant) => {
    expect(suggest(name, names)).toBe(meant)
  })

  test.each(['', 'temperature', 'x', 'zzzz', 'x'.repeat(10_000)])('nothing is near %j', (name) => {
    expect(suggest(name, names)).toBeUndefined()
  })

  test('names that share no letter are no slips of each other', () => {
    expect(suggest('a', ['b'])).toBeUndefined()
  })

  test('the beginning of several names stands for none of them', () => {
    expect(suggest('model', ['model-large-a', 'model-large-b'])).toBeUndefined()
  })

  test('finds a name of at least 4 letters again after any one slip', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.nat(), fc.constantFrom('drop', 'double', 'swap'), (name, at, slip) => {
        const index = at % (name.length - 1)
        const [first = '', second = ''] = name.slice(index, index + 2)
        const middle = { drop: second, double: first + first + second, swap: second + first }[slip]
        expect(suggest(name.slice(0, index) + middle + name.slice(index + 2), names)).toBe(name)
      }),
    )
  })
})
