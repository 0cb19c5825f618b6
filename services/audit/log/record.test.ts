import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import { expect, test } from 'vitest'
import { BeginFields, decodeLine, encodeLine, EndFields, type Entry, hashLine, maxLineBytes, noHash } from './record.ts'

const at = '2026-11-22T21:10:00.123Z'
const begin = Compile(BeginFields)
const end = Compile(EndFields)

const text = (pattern: RegExp, maxLength: number) => fc.stringMatching(pattern).filter((value) => value.length <= maxLength)
const name = text(/^[A-Za-z0-9._:@/+-]{1,128}$/, 128)
const count = fc.nat(2 ** 32 - 1)

const entries: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({
    type: fc.constant('begin' as const), requestId: text(/^[A-Za-z0-9._-]{1,64}$/, 64), instance: name, team: name, keyId: name, model: name,
    endpoint: fc.constantFrom('POST /v1/chat/completions', 'GET /'), stream: fc.boolean(), requestBytes: count,
  }),
  fc.record({
    type: fc.constant('end' as const), requestId: text(/^[A-Za-z0-9._-]{1,64}$/, 64), outcome: fc.constantFrom('completed' as const, 'cancelled' as const, 'failed' as const),
    finishReason: text(/^[a-z0-9_]{0,64}$/, 64), error: text(/^[a-z0-9_]{0,64}$/, 64), inputTokens: count, outputTokens: count, responseBytes: count,
    firstTokenUs: fc.maxSafeNat(), durationUs: fc.maxSafeNat(), worker: text(/^[A-Za-z0-9._:@/+[\]-]{0,128}$/, 128),
  }),
  fc.record({ type: fc.constant('end' as const), requestId: name.map((id) => id.slice(0, 64).replaceAll(/[:@/+]/g, '-')), outcome: fc.constant('interrupted' as const) }),
)

test('a line gives back its record, is printable ASCII, and fits', () => {
  fc.assert(
    fc.property(entries, fc.maxSafeNat(), (entry, seq) => {
      const line = encodeLine(seq, at, entry, noHash)
      expect(decodeLine(line)).toEqual({ seq, at, ...entry, prev: noHash })
      expect(line).toMatch(/^[ -~]+$/)
      expect(line.length).toBeLessThan(maxLineBytes)
    }),
  )
})

test('the longest record fits', () => {
  const long = 'x'.repeat(128)
  const entry: Entry = {
    type: 'begin', requestId: 'x'.repeat(64), instance: long, team: long, keyId: long, model: long, endpoint: `GET /${'x'.repeat(123)}`, stream: false, requestBytes: 2 ** 32 - 1,
  }
  expect(encodeLine(Number.MAX_SAFE_INTEGER, at, entry, noHash).length).toBeLessThan(maxLineBytes)
})

const line = encodeLine(3, at, { type: 'end', requestId: 'r', outcome: 'interrupted' }, noHash)

test.each([
  ['a space', line.replace(',', ', ')],
  ['another order', line.replace('"seq":3,', '').replace('}', ',"seq":3}')],
  ['a further field', line.replace('}', ',"content":"secret"}')],
  ['a field twice', line.replace('"seq":3', '"seq":3,"seq":3')],
  ['a missing field', line.replace('"outcome":"interrupted",', '')],
  ['another way to write a number', line.replace('"seq":3', '"seq":3.0')],
  ['a negative number', line.replace('"seq":3', '"seq":-3')],
  ['an escape', line.replace('interrupted', '\\u0069nterrupted')],
  ['an unknown outcome', line.replace('interrupted', 'lost')],
  ['a carriage return', `${line}\r`],
  ['no JSON', 'hello'],
  ['nothing', ''],
])('%s makes a line no record', (_, text) => {
  expect(decodeLine(line)).toBeDefined()
  expect(decodeLine(text)).toBeUndefined()
})

test('no text that could be content fits a field', () => {
  const fields = { requestId: 'r', instance: 'g', team: 't', keyId: 'k', model: 'm', endpoint: 'POST /v1', stream: true, requestBytes: 1 }
  expect(begin.Check(fields)).toBe(true)
  for (const value of ['two words', 'line\nbreak', 'quote"', 'é', 'x'.repeat(129), 'tab\t', '\\', 'a\n']) {
    for (const name of ['requestId', 'instance', 'team', 'keyId', 'model', 'endpoint']) expect(begin.Check({ ...fields, [name]: value })).toBe(false)
  }
  for (const name of ['instance', 'team', 'keyId', 'model', 'requestId']) expect(begin.Check({ ...fields, [name]: '' })).toBe(false)
  const ending = {
    requestId: 'r', outcome: 'failed', finishReason: '', error: '', inputTokens: 0, outputTokens: 0, responseBytes: 0, firstTokenUs: 0, durationUs: 0, worker: '',
  }
  expect(end.Check(ending)).toBe(true)
  for (const value of ['two words', 'Upper', 'é', 'x'.repeat(65), 'a\n']) {
    for (const name of ['finishReason', 'error']) expect(end.Check({ ...ending, [name]: value })).toBe(false)
  }
  expect(end.Check({ ...ending, worker: 'two words' })).toBe(false)
})

test('the hash of a line is what sha256sum says of it', () => {
  // printf 'abc\n' | sha256sum
  expect(hashLine('abc\n')).toBe('edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb')
})
