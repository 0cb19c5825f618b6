import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toDecimal } from './number-range.ts'
import { SchemaError } from './schema-error.ts'
import { schemaMatcher } from './testing.ts'

const limits = fc.record(
  {
    minimum: fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -3000, max: 3000 }).map((n) => n / 100)),
    maximum: fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -3000, max: 3000 }).map((n) => n / 100)),
    exclusiveMinimum: fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -3000, max: 3000 }).map((n) => n / 100)),
    exclusiveMaximum: fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -3000, max: 3000 }).map((n) => n / 100)),
  },
  { requiredKeys: [] },
)

function within(value: number, bounds: Record<string, number>): boolean {
  const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = bounds
  return value >= minimum && value <= maximum && value > exclusiveMinimum && value < exclusiveMaximum
}

describe('bounds of numbers', () => {
  test.each(['integer', 'number'])('%s: what the grammar takes is what fulfils them', (type) => {
    const candidates = fc.oneof(
      fc.integer({ min: -400, max: 400 }).map(String),
      fc.integer({ min: -3100, max: 3100 }).map((n) => String(n / 100)),
      fc.integer({ min: -31_000, max: 31_000 }).map((n) => (n / 1000).toFixed(4)),
    )
    fc.assert(
      fc.property(limits, fc.array(candidates, { minLength: 20, maxLength: 40 }), (bounds, texts) => {
        let fits
        try {
          fits = schemaMatcher({ type, ...bounds })
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(SchemaError)
          return
        }
        const edges = Object.values(bounds).flatMap((value) => [String(value), (value + 1).toFixed(2), (value - 1).toFixed(2), value.toFixed(3)])
        for (const text of [...texts, ...edges]) {
          const whole = /^-?\d+$/v.test(text)
          // The grammar writes whole numbers without a point, and zero without a sign where there are bounds.
          if (/^-0(?:\.0*)?$/v.test(text) || (type === 'integer' && !whole)) continue
          expect(fits(text), `${text} in ${JSON.stringify(bounds)}`).toBe(within(Number(text), bounds))
        }
      }),
      { numRuns: 400 },
    )
  })

  test('multiples', () => {
    const tens = schemaMatcher({ type: 'integer', multipleOf: 10, minimum: -20, maximum: 300 })
    for (const text of ['0', '-20', '10', '300', '290']) expect(tens(text), text).toBe(true)
    for (const text of ['-30', '5', '310', '00', '1']) expect(tens(text), text).toBe(false)
    const threes = schemaMatcher({ type: 'number', multipleOf: 3, minimum: 1, maximum: 10 })
    for (const text of ['3', '6', '9']) expect(threes(text), text).toBe(true)
    for (const text of ['0', '12', '4', '3.0']) expect(threes(text), text).toBe(false)
    expect(schemaMatcher({ type: 'integer', multipleOf: 1000 })('-12000')).toBe(true)
  })

  test.each([
    [{ type: 'integer', multipleOf: 7 }, '/multipleOf'],
    [{ type: 'number', multipleOf: 0.01 }, '/multipleOf'],
    [{ type: 'integer', minimum: 1e300 }, '/minimum'],
    [{ type: 'number', minimum: 1e-20 }, '/minimum'],
    [{ type: 'number', maximum: '5' }, '/maximum'],
    [{ type: 'integer', minimum: 5, maximum: 4 }, ''],
  ])('%j is refused', (schema, pointer) => {
    expect(() => schemaMatcher(schema)).toThrow(expect.objectContaining({ name: 'SchemaError', pointer }))
  })

  test('safe integers, as generators of schemas write them', () => {
    const fits = schemaMatcher({ type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER })
    for (const text of ['0', '-9007199254740991', '9007199254740991']) expect(fits(text), text).toBe(true)
    for (const text of ['9007199254740992', '-9007199254740992', '10000000000000000']) expect(fits(text), text).toBe(false)
  })
})

test('numbers as decimals', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
      const { integer, fraction } = toDecimal(number)
      expect(Number(`${integer}.${fraction === '' ? '0' : fraction}`)).toBe(Math.abs(number))
    }),
  )
})
