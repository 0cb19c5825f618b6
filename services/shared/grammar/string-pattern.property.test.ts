import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SchemaError } from './schema-error.ts'
import { schemaMatcher } from './testing.ts'

const letters = ['a', 'b', '"', '\n', 'é']
const set = fc.constantFrom('a', 'b', '.', '[^a]', '[ab]', '\\n', '"', '\\W', '\\s')
const { regex } = fc.letrec<{ regex: string }>((tie) => ({
  regex: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    set,
    fc.array(tie('regex'), { maxLength: 3 }).map((items) => items.join('')),
    fc.array(tie('regex'), { minLength: 1, maxLength: 3 }).map((options) => `(?:${options.join('|')})`),
    fc.tuple(tie('regex'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{0}', '{2,}')).map(([body, count]) => `(${body})${count}`),
  ),
}))
const pattern = fc
  .array(
    fc
      .record({ start: fc.boolean(), looks: fc.array(fc.tuple(fc.constantFrom('=', '!'), regex, fc.constantFrom('', '$')), { maxLength: 2 }), regex, end: fc.boolean() })
      .map(({ start, looks, regex: body, end }) => `${start ? `^${looks.map(([kind, look, tail]) => `(?${kind}${look}${tail})`).join('')}` : ''}${body}${end ? '$' : ''}`),
    { minLength: 1, maxLength: 2 },
  )
  .map((alternatives) => alternatives.join('|'))
const text = fc.array(fc.constantFrom(...letters), { maxLength: 5 }).map((all) => all.join(''))

test('patterns take what JavaScript says they match, together with lengths and each other', () => {
  let compared = 0
  fc.assert(
    fc.property(
      fc.array(pattern, { minLength: 1, maxLength: 2 }),
      fc.record({ minLength: fc.nat(3), maxLength: fc.integer({ min: 2, max: 5 }) }, { requiredKeys: [] }),
      fc.array(text, { minLength: 20, maxLength: 20 }),
      (patterns, lengths, texts) => {
        const expected = (candidate: string) =>
          patterns.every((source) => new RegExp(source, 'u').test(candidate)) &&
          Array.from(candidate).length >= (lengths.minLength ?? 0) &&
          Array.from(candidate).length <= (lengths.maxLength ?? Number.POSITIVE_INFINITY)
        let takes
        try {
          takes = schemaMatcher({ type: 'string', ...lengths, allOf: patterns.map((source) => ({ pattern: source })) })
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(SchemaError)
          // Nothing fulfils it, or it is not supported.
          if ((thrown as SchemaError).message.includes('Nothing can fulfil')) expect(texts.filter(expected)).toEqual([])
          return
        }
        compared++
        for (const candidate of texts) expect(takes(JSON.stringify(candidate)), JSON.stringify([patterns, candidate])).toBe(expected(candidate))
      },
    ),
    { numRuns: 600 },
  )
  expect(compared).toBeGreaterThan(300)
})
