import fc from 'fast-check'
import { Check, type XSchema } from 'typebox/schema'
import { expect, test } from 'vitest'
import { checkValue } from './check-value.ts'
import { fieldsOf } from './fields.ts'
import { formats } from './formats.ts'
import { configSchema } from './schema.ts'
import { type SchemaNode, understoodKeywords } from './schema-node.ts'

function nodes(schema: SchemaNode): SchemaNode[] {
  return [
    schema,
    ...(schema.items === undefined ? [] : nodes(schema.items)),
    ...Object.values(schema.properties ?? {}).flatMap(nodes),
  ]
}

test('every keyword, type and format of the schema is understood', () => {
  for (const node of nodes(configSchema)) {
    expect(understoodKeywords).toEqual(expect.arrayContaining(Object.keys(node)))
    expect(['object', 'array', 'string', 'integer', 'number', 'boolean']).toContain(node.type)
    if (node.format !== undefined) expect(formats).toHaveProperty([node.format])
    // A map that lets unknown keys through would hide misspelt ones.
    if (node.type === 'object') expect(node.additionalProperties).toBe(false)
  }
})

test('every setting has a description, and a default within its own bounds', () => {
  for (const { schema } of fieldsOf(configSchema)) {
    expect(schema.description).toMatch(/\.$/)
    expect(checkValue(schema, schema.default)).toEqual([])
    if (schema.type === 'integer') expect([schema.minimum, schema.maximum]).not.toContain(undefined)
  }
})

/** Values near what a schema allows, and on both sides of it. */
function near(schema: SchemaNode): fc.Arbitrary<unknown> {
  const anything = fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    1.5,
    1e20,
    '',
    'x',
    '8443',
    'true',
    [],
    [1],
    {},
    { x: 1 },
    { constructor: 1 },
  )
  const fitting = ((): fc.Arbitrary<unknown> => {
    switch (schema.type) {
      case 'number':
      case 'integer': {
        const bounds = [schema.minimum ?? 0, schema.maximum ?? 10].flatMap((bound) => [bound - 1, bound, bound + 1, bound + 0.5])
        return fc.constantFrom(...bounds)
      }
      case 'boolean':
        return fc.boolean()
      case 'array':
        return fc.array(near(schema.items ?? {}), { maxLength: 3 })
      case 'object':
        return fc.record(Object.fromEntries(Object.entries(schema.properties ?? {}).map(([key, value]) => [key, near(value)])), {
          requiredKeys: [],
        })
      default:
        return fc.oneof(
          fc.constantFrom(...(schema.enum ?? ['a', 'owner/name', 'a'.repeat(64), '1.0'])),
          fc.string({ maxLength: 4 }),
        )
    }
  })()
  return fc.oneof({ weight: 8, arbitrary: fitting }, { weight: 1, arbitrary: anything })
}

/** Formats are ours, wherever they stand: they have tests of their own. */
function withoutFormats(schema: SchemaNode): SchemaNode {
  return JSON.parse(JSON.stringify(schema, (key, member: unknown) => (key === 'format' && typeof member === 'string' ? undefined : member))) as SchemaNode
}
const standard = fieldsOf(configSchema).map(({ path, schema }) => ({ path, schema: withoutFormats(schema) }))

test.each(standard)('$path: finds something wrong exactly when typebox does', ({ schema }) => {
  const reference: XSchema = schema
  fc.assert(
    fc.property(near(schema), (value) => {
      expect(checkValue(schema, value).length === 0).toBe(Check(reference, value))
    }),
  )
})

test('finds everything that is wrong inside a value, each with its place', () => {
  const entry = { id: 'x', size: -1, licnce: 'MIT', openness: { weights: 'yes' } }
  const findings = checkValue(configSchema.properties.models, [entry])
  expect(findings.map(({ at }) => at.join('.')).toSorted()).toEqual(
    [
      '0.contextLength',
      '0.file',
      '0.from',
      '0.licence',
      '0.licnce',
      '0.openness.code',
      '0.openness.data',
      '0.openness.paper',
      '0.openness.weights',
      '0.size',
    ].toSorted(),
  )
  expect(findings.find(({ at }) => at[1] === 'licnce')?.suggestion).toBe('Did you mean "licence"?')
})
