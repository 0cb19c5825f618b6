import { describe, expect, test } from 'vitest'


import { schemaMatcher as takes } from './testing.ts'


describe('objects', () => {
  test('required and optional properties, in their order', () => {
    const fits = takes({ type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' }, c: { type: 'null' } }, required: ['b'] })
    for (const text of ['{"a": 1, "b": "x"}', '{"b":"x"}', '{"b":"","c":null}', '{\n  "a":1,\n  "b":"é"\n}']) expect(fits(text), text).toBe(true)
    for (const text of ['{}', '{"a":1}', '{"b":"x",}', '{,"b":"x"}', '{"b":"x""c":null}', '{"b":"x","a":1}', '{"b":"x","d":1}']) expect(fits(text), text).toBe(false)
  })
  test('only optional ones', () => {
    const fits = takes({ type: 'object', properties: { a: {}, b: {} } })
    for (const text of ['{}', '{"a":1}', '{"b":[]}', '{"a":{},"b":"x"}']) expect(fits(text), text).toBe(true)
    for (const text of ['{,}', '{"a":1,}', '{"a":1,"a":1}']) expect(fits(text), text).toBe(false)
  })
  test('others beside', () => {
    const fits = takes({ type: 'object', properties: { a: { type: 'integer' } }, additionalProperties: { type: 'boolean' } })
    for (const text of ['{}', '{"a":1}', '{"b":true}', '{"a":1,"ab":true,"":false}']) expect(fits(text), text).toBe(true)
    for (const text of ['{"a":true}', '{"b":true,"a":true}', '{"\\u0061":true}']) expect(fits(text), text).toBe(false)
  })
})
