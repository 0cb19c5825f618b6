import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Automaton, createAutomaton } from './automaton.ts'
import { SchemaError } from './schema-error.ts'
import { isAlive } from './state.ts'
import { validates } from './testing-validator.ts'
import { grammarMatcher, schemaGrammar } from './testing.ts'

type Json = Readonly<Record<string, unknown>> | boolean

/** A schema, and values that fulfil it, with members in the order in which the schema names them. */
interface Sample {
  readonly schema: Json
  readonly value: fc.Arbitrary<unknown>
}

const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom('"', '\\', '\n\u0001', '</s>', '', '\u2028', '__proto__', 'a/b~c'))
// JSON.parse of V8 14.6 takes the name "\"" for "\\" once it has seen an object with that: no backslashes in names.
const name = text.filter((some) => !some.includes('\\'))
const simpleNumber = fc.oneof(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: -1000, max: 1000 }).map((n) => n / 8), fc.constantFrom(1e21, 1.5e-7, 0))
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom(null, true, false),
    simpleNumber,
    text,
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(name, tie('json'), { maxKeys: 3 }),
  ),
}))

const patterns: readonly (readonly [Json, fc.Arbitrary<string>])[] = [
  [{ pattern: '^[a-z]{2,5}$' }, fc.string({ unit: fc.constantFrom('a', 'z'), minLength: 2, maxLength: 5 })],
  [{ pattern: 'a"b' }, fc.tuple(text, text).map(([a, b]) => `${a}a"b${b}`)],
  [{ pattern: '^a|b$', maxLength: 6 }, fc.constantFrom('a', 'b', 'a12345', '12345b')],
  [{ pattern: '^[^a-z]*\\d$', minLength: 3, maxLength: 4 }, fc.constantFrom('ABC1', '\n"1', '\\\u00011')],
  [{ pattern: '^(?:\\w+\\s?)+[.!?]$' }, fc.constantFrom('a b c.', 'hello world!')],
  [{ format: 'date' }, fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }).map((date) => date.toISOString().slice(0, 10))],
  [{ format: 'date-time' }, fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }).map((date) => date.toISOString())],
  [{ format: 'time' }, fc.constantFrom('23:59:59Z', '00:00:00.125+05:30')],
  [{ format: 'uuid' }, fc.uuid()],
  [{ format: 'email' }, fc.constantFrom('a.b@example.org', "o'neil+x@a-b.co.uk")],
  [{ format: 'hostname' }, fc.constantFrom('localhost', 'a.b-c.example')],
  [{ format: 'ipv4' }, fc.ipV4()],
  [{ format: 'ipv6' }, fc.constantFrom('::', '::1', '1::', '2001:db8::ff00:42:8329', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8')],
  [{ format: 'uri' }, fc.constantFrom('https://example.org/a/b?c=d#e', 'http://[::1]:80', 'urn:isbn:123', 'mailto:a@b.de')],
  [{ format: 'duration' }, fc.constantFrom('P1Y2M3D', 'PT5M', 'P2W', 'P1DT12H30M5S')],
]

const strings: fc.Arbitrary<Sample> = fc.oneof(
  fc.record({ min: fc.nat(4), more: fc.nat(6) }).map(({ min, more }) => ({
    schema: { type: 'string', minLength: min, maxLength: min + more },
    value: fc.array(fc.string({ unit: 'grapheme-composite', minLength: 1, maxLength: 1 }), { minLength: min, maxLength: min + more }).map((all) => all.join('')),
  })),
  fc.constantFrom(...patterns).map(([schema, value]) => ({ schema: { type: 'string', ...(schema as object) }, value })),
  fc.constant({ schema: { type: 'string' }, value: text }),
)

const numbers: fc.Arbitrary<Sample> = fc.oneof(
  fc.record({ minimum: fc.integer({ min: -5000, max: 5000 }), more: fc.nat(5000), multipleOf: fc.constantFrom(1, 10) }).map(({ minimum, more, multipleOf }) => ({
    schema: { type: 'integer', minimum, maximum: minimum + more + 10, multipleOf },
    value: fc.integer({ min: Math.ceil(minimum / multipleOf), max: Math.floor((minimum + more + 10) / multipleOf) }).map((n) => n * multipleOf || 0),
  })),
  fc.record({ minimum: fc.integer({ min: -500, max: 500 }), more: fc.integer({ min: 1, max: 500 }) }).map(({ minimum, more }) => ({
    schema: { type: 'number', exclusiveMinimum: minimum / 4, maximum: (minimum + more) / 4 },
    value: fc.integer({ min: minimum * 10 + 1, max: (minimum + more) * 10 }).map((n) => n / 40),
  })),
  fc.constant({ schema: { type: 'number' }, value: simpleNumber }),
)

const { sample } = fc.letrec<{ sample: Sample }>((tie) => {
  const some = tie('sample')
  const objects = fc
    .record({
      members: fc.uniqueArray(fc.record({ name, sample: some, required: fc.boolean() }), { maxLength: 5, selector: ({ name }) => name }),
      others: fc.option(some, { nil: undefined }),
      split: fc.boolean(),
    })
    .map(({ members, others, split }): Sample => {
      // Names that are whole numbers are put first by JavaScript, whatever the schema's order was.
      const properties = Object.fromEntries(members.map(({ name, sample }) => [name, sample.schema]))
      const required = members.filter((member) => member.required).map(({ name }) => name)
      const whole = { type: 'object', properties, required, ...(others === undefined ? {} : { additionalProperties: others.schema }) }
      const first = members.slice(0, 2)
      const halves = [
        { type: 'object', properties: Object.fromEntries(first.map(({ name, sample }) => [name, sample.schema])) },
        { properties: Object.fromEntries(members.slice(2).map(({ name, sample }) => [name, sample.schema])), required },
      ]
      const order = Object.keys(properties)
      const declared = fc
        .tuple(...members.map((member) => (member.required ? member.sample.value : fc.option(member.sample.value, { nil: undefined }))))
        .map((values) => order.map((name) => [name, values[members.findIndex((member) => member.name === name)]] as const))
      const free = fc.string({ unit: fc.constantFrom('x', 'é', ' ', '-'), maxLength: 4 }).filter((name) => !order.includes(name))
      const extra = others === undefined || split ? fc.constant([]) : fc.uniqueArray(fc.tuple(free, others.value), { maxLength: 2, selector: ([name]) => name })
      return {
        schema: split ? { allOf: halves } : whole,
        value: fc.tuple(declared, extra).map(([own, more]) => Object.fromEntries([...own, ...more].filter(([, value]) => value !== undefined))),
      }
    })
  const arrays = fc
    .record({ prefix: fc.array(some, { maxLength: 2 }), items: some, min: fc.nat(3), more: fc.nat(3) })
    .map(({ prefix, items, min, more }): Sample => ({
      schema: { type: 'array', minItems: min, maxItems: min + more, items: items.schema, ...(prefix.length > 0 ? { prefixItems: prefix.map(({ schema }) => schema) } : {}) },
      value: fc
        .tuple(fc.tuple(...prefix.map(({ value }) => value)), fc.array(items.value, { minLength: 6, maxLength: 6 }), fc.integer({ min, max: min + more }))
        .map(([first, rest, length]) => [...first, ...rest].slice(0, length)),
    }))
  return {
    sample: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.constantFrom<Sample>({ schema: { type: 'boolean' }, value: fc.boolean() }, { schema: { type: 'null' }, value: fc.constant(null) }, { schema: {}, value: json }, { schema: true, value: json }),
      strings,
      numbers,
      fc.array(json, { minLength: 1, maxLength: 4 }).map((values): Sample => ({ schema: { enum: values }, value: fc.constantFrom(...values) })),
      json.map((value): Sample => ({ schema: { const: value }, value: fc.constant(value) })),
      fc.array(some, { minLength: 1, maxLength: 3 }).map((all): Sample => ({ schema: { anyOf: all.map(({ schema }) => schema) }, value: fc.oneof(...all.map(({ value }) => value)) })),
      objects,
      arrays,
    ),
  }
})

const root = fc.oneof(
  sample,
  // A list or tree that refers to itself.
  sample.map((node): Sample => ({
    schema: { $defs: { 'a/b': { type: 'object', properties: { value: node.schema, next: { anyOf: [{ $ref: '#/$defs/a~1b' }, { type: 'null' }] } }, required: ['value', 'next'] } }, $ref: '#/$defs/a~1b' },
    value: fc.tuple(node.value, node.value).map(([a, b]) => ({ value: a, next: { value: b, next: null } })),
  })),
)

/** JSON that the grammar may not spell as JSON.stringify does. */
function isSpeltOtherwise(value: unknown): boolean {
  return Object.is(value, -0)
}

function grammarOf(schema: Json): string | undefined {
  try {
    return schemaGrammar(schema)
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(SchemaError)
    return undefined
  }
}

describe('random schemas', () => {
  test('what fulfils one is taken, written tightly or with space', () => {
    let compared = 0
    fc.assert(
      fc.property(
        root.chain(({ schema, value }) => fc.tuple(fc.constant(schema), fc.array(value, { minLength: 3, maxLength: 3 }))),
        ([schema, values]) => {
          const grammar = grammarOf(schema)
          if (grammar === undefined) return
          compared++
          const takes = grammarMatcher(grammar)
          for (const value of values) {
            if (isSpeltOtherwise(value)) continue
            expect(validates(schema, value), 'the sample itself').toBe(true)
            expect(takes(JSON.stringify(value)), JSON.stringify(value)).toBe(true)
            expect(takes(JSON.stringify(value, undefined, 2)), JSON.stringify(value)).toBe(true)
          }
        },
      ),
      { numRuns: 200 },
    )
    expect(compared).toBeGreaterThan(150)
  })

  test('whatever is written along the grammar is JSON that fulfils the schema', () => {
    let compared = 0
    fc.assert(
      fc.property(root, fc.infiniteStream(fc.nat(2 ** 30)), ({ schema }, random) => {
        const grammar = grammarOf(schema)
        if (grammar === undefined) return
        const automaton = createAutomaton(grammar)
        for (let walk = 0; walk < 4; walk++) {
          const written = wander(automaton, () => Number(random.next().value))
          if (written === undefined) continue
          compared++
          expect(validates(schema, JSON.parse(written)), written).toBe(true)
        }
      }),
      { numRuns: 200 },
    )
    expect(compared).toBeGreaterThan(400)
  })
})

const closing = new Set(Buffer.from('"}],:'))

/** A text made of bytes that may come next, with a liking for those that come to an end; undefined if it grew too long. */
function wander(automaton: Automaton, random: () => number): string | undefined {
  let state = automaton.start
  const bytes: number[] = []
  while (bytes.length < 2000) {
    if (state.ends && (state.nodes.length === 0 || random() % 3 === 0)) return Buffer.from(bytes).toString('utf8')
    state = automaton.renew(state)
    const from = state
    const possible = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => isAlive(automaton.step(from, byte)))
    const preferred = possible.filter((byte) => closing.has(byte))
    const choices = preferred.length > 0 && random() % 3 > 0 ? preferred : possible
    const byte = choices[random() % choices.length] ?? 0
    bytes.push(byte)
    state = automaton.step(state, byte)
  }
  return undefined
}

