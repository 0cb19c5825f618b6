import fc from 'fast-check'
import Type, { type TSchema } from 'typebox'
import { describe, expect, test } from 'vitest'
import { beginOf, endOf, refusedOf, timeOf } from '../test-support/example-records.ts'
import { decodeRecord, encodeRecord, type Entry, glanceAt, type LogRecord } from './record.ts'
import { textPattern } from './text-pattern.ts'

const stamped = (entry: Entry): LogRecord => ({ v: 1, at: timeOf(0), clock: 'ok', ...entry })
const examples: Entry[] = [
  beginOf('r1'),
  beginOf('r1', { parameters: { maxTokens: 256, temperature: '0.7', seed: true, tools: 3 }, subject: 'dr.who@example.org' }),
  endOf('r1'),
  endOf('r1', { outcome: 'interrupted', redactions: [{ kind: 'name', count: 2 }, { kind: '', count: 0 }], worker: '[::1%eth0]:7000' }),
  refusedOf({ endpoint: '' }),
  { type: 'configuration.changed', service: 'gateway', instance: 'g', settings: ['a.b[0]', 'c'], more: 0 },
  { type: 'configuration.changed', service: 'gateway', instance: 'g', settings: [], more: 0 },
]
/** Around 2^53 and 10^15, where numbers are read in other ways. */
const counts = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 10 ** 15 - 1, 10 ** 15, Number.MAX_SAFE_INTEGER))
const word = (max: number) => fc.string({ unit: fc.constantFrom(...'abcXYZ019._:@/+-'.split('')), minLength: 1, maxLength: max })
const records = fc.record({ example: fc.constantFrom(...examples), id: word(64).map((id) => id.replaceAll(/[^A-Za-z0-9._-]/g, 'x')), team: word(128), count: counts }).map(({ example, id, team, count }) => {
  const record = stamped(example)
  if ('requestId' in record) record.requestId = id
  if ('team' in record) record.team = team
  if ('inputTokens' in record) record.inputTokens = count
  if ('requestBytes' in record) record.requestBytes = count
  return record
})
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** RFC 8785, told again in the plainest way. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`
}

describe('a record', () => {
  test('is encoded as canonical JSON, and read again', () => {
    fc.assert(
      fc.property(records, (record) => {
        const bytes = encodeRecord(record)
        expect(text(bytes)).toBe(canonical(record))
        expect(decodeRecord(bytes)).toEqual(record)
        const { type } = record
        expect(glanceAt(bytes)).toEqual({ type, requestId: 'requestId' in record ? record.requestId : undefined, outcome: 'outcome' in record ? record.outcome : undefined })
      }),
    )
  })

  test('is read from its one text alone: no change of a character or two makes another that is not the encoding of what it says', () => {
    const change = fc.record({ where: fc.nat(), remove: fc.nat(2), insert: fc.string({ unit: fc.constantFrom(...'{}[]:,"\\ 0a-.eé\n'.split('')), maxLength: 2 }) })
    fc.assert(
      fc.property(records, change, (record, { where, remove, insert }) => {
        const before = text(encodeRecord(record))
        const at = where % before.length
        const bytes = Buffer.from(before.slice(0, at) + insert + before.slice(at + remove), 'latin1')
        const read = decodeRecord(bytes)
        expect(glanceAt(bytes) === undefined).toBe(read === undefined)
        if (read !== undefined) expect(canonical(read)).toBe(text(bytes))
        if (read !== undefined) expect(text(encodeRecord(read))).toBe(text(bytes))
      }),
      { numRuns: 3000 },
    )
  })

  test.each([
    ['another member', { ...beginOf('r'), prompt: 'hello' }],
    ['a member too few', { ...beginOf('r'), team: undefined }],
    ['another member within one', { ...beginOf('r'), parameters: { prompt: 'hello' } }],
    ['a text with a quotation mark', beginOf('r', { team: 'a","stream":false,"x":"' })],
    ['a text that stands in for a member that is missing', { ...beginOf('r","stream":true,"subject":"eve'), stream: undefined, subject: undefined }],
    ['the same, of a member that is not there at all', Object.fromEntries(Object.entries(beginOf('r","stream":true,"subject":"eve')).filter(([key]) => key !== 'stream' && key !== 'subject'))],
    ['a text that is too long', beginOf('r', { team: 'a'.repeat(129) })],
    ['an empty one that must not be', beginOf('r', { team: '' })],
    ['a choice that is none', { ...beginOf('r'), priority: 'urgent' }],
    ['a number that is not whole', beginOf('r', { requestBytes: 0.5 })],
    ['a number below 0', beginOf('r', { requestBytes: -1 })],
    ['a number that is too large', beginOf('r', { requestBytes: 2 ** 53 })],
    ['what is no number', beginOf('r', { requestBytes: Number.NaN })],
    ['a bigint', { ...beginOf('r'), requestBytes: 5n }],
    ['a list that is too long', endOf('r', { redactions: Array.from({ length: 17 }, () => ({ kind: 'name', count: 1 })) })],
    ['an unknown type', { ...beginOf('r'), type: 'request.prompt' }],
  ])('is not encoded with %s', (_, entry) => {
    expect(() => encodeRecord(stamped(entry as Entry))).toThrow(/record/)
  })

  test('with other members than it should have, or in another order, is not read', () => {
    const good = text(encodeRecord(stamped(beginOf('r'))))
    expect(decodeRecord(Buffer.from(good))).toBeDefined()
    for (const bad of [good.replace('"adapter":"",', ''), good.replace('"adapter":"",', '"adapter":"","adapter":"",'), good.replace('"adapter":"",', '"aaa":1,"adapter":"",'), `${good} `, good.replace(',"v":1', '').replace('"type"', '"v":1,"type"')]) {
      expect(decodeRecord(Buffer.from(bad)), bad).toBeUndefined()
      expect(glanceAt(Buffer.from(bad)), bad).toBeUndefined()
    }
  })
})

describe('a pattern', () => {
  const closed = { additionalProperties: false }
  const optional = Type.Object({ c: Type.Optional(Type.Boolean()), a: Type.Optional(Type.Boolean()), b: Type.Boolean() }, closed)

  test('has commas between the members that are there', () => {
    const pattern = textPattern(optional)
    for (const good of ['{"b":true}', '{"a":true,"b":true}', '{"b":true,"c":false}', '{"a":true,"b":true,"c":true}']) expect(pattern.test(good), good).toBe(true)
    for (const bad of ['{}', '{"b":true,}', '{,"b":true}', '{"a":true"b":true}', '{"a":true}', '{"b":true,"a":true}', '{"b":true,,"c":true}', '{"b":true,"b":true}']) expect(pattern.test(bad), bad).toBe(false)
  })

  test.each<[string, TSchema]>([
    ['an object that takes more', Type.Object({ a: Type.Boolean() })],
    ['a text without a pattern', Type.String()],
    ['other limits of a number', Type.Integer({ minimum: 1 })],
    ['a list without an end', Type.Array(Type.Boolean())],
    ['null', Type.Null()],
  ])('is not made of %s', (_, schema) => {
    expect(() => textPattern(schema)).toThrow(TypeError)
  })
})
