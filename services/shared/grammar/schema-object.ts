import type { SchemaContext } from './json-schema.ts'
import { literal } from './rules.ts'
import { isSchema, type Located, maxSchemaProperties, type Part, valuesOf } from './schema-document.ts'
import { below, SchemaError } from './schema-error.ts'
import { countLimits, times } from './schema-limits.ts'
import { otherNameBody } from './schema-other-name.ts'

interface Member {
  readonly rule: string
  readonly required: boolean
}

/** Undefined if no object fulfils all of the parts. Throws SchemaError. */
export function objectBody(context: SchemaContext, parts: readonly Part[], hint: string): string | undefined {
  const { rules, work } = context
  const required = requiredNames(parts)
  const declared = new Set(parts.flatMap((part) => [...propertiesOf(part).keys()]))
  const names = declared.union(required)
  if (names.size > maxSchemaProperties) {
    throw new SchemaError(parts[0]?.pointer ?? '', `An object may have ${maxSchemaProperties} properties; this one has ${names.size}.`)
  }

  work.spend(names.size * parts.length, parts.at(-1)?.pointer ?? '')

  const members: Member[] = []
  for (const name of names) {
    const value = context.value(propertySchemas(parts, name), name)
    if (value === undefined && required.has(name)) return undefined
    if (value === undefined) continue
    // The name as a JSON string is a literal of GBNF.
    const rule = rules.add(name, `${literal(JSON.stringify(name))} ${rules.json('colon')} ${value}`)
    members.push({ rule, required: required.has(name) })
  }
  const others = otherMembers(context, parts, names, hint, otherName(context, parts, names, hint))
  const { min, max } = countLimits(parts, 'minProperties', 'maxProperties')
  if (max < required.size || (others === undefined && min > members.length)) return undefined

  const space = rules.json('space')
  if (members.length === 0) {
    if (others === undefined || max === 0) return `"{" ${space} "}"`
    if (min > 1) throw unsupportedCount(parts, 'minProperties')
    const list = `${others} (${rules.json('comma')} ${others})${times(0, max - 1)} ${space}`
    return `"{" ${space} ${min === 0 ? `(${list})?` : list} "}"`
  }
  // How many there are is only known where all or none of them must be there.
  if (min > required.size) throw unsupportedCount(parts, 'minProperties')
  if (max < members.length || (others !== undefined && max !== Number.POSITIVE_INFINITY)) throw unsupportedCount(parts, 'maxProperties')
  return `"{" ${space} ${memberList(context, members, others, hint)} ${space} "}"`
}

/** The members in their order, those that are optional there or not, with commas between them. */
function memberList({ rules }: SchemaContext, members: readonly Member[], others: string | undefined, hint: string): string {
  const comma = rules.json('comma')
  // From the last member to the first: what may come from there when something came before it, and when nothing did.
  let next = others === undefined ? '' : rules.add(`${hint}-others`, `(${comma} ${others})*`)
  let first = others === undefined ? '""' : `(${others} ${next})?`
  for (const [index, { rule, required }] of [...members.entries()].reverse()) {
    const begin = `${rule} ${next}`
    first = rules.add(`${hint}-first-${index + 1}`, required ? begin : `${begin} | ${first}`)
    if (index > 0) next = rules.add(`${hint}-next-${index + 1}`, required ? `${comma} ${begin}` : `(${comma} ${rule})? ${next}`)
  }
  return first
}

function requiredNames(parts: readonly Part[]): Set<string> {
  const names = new Set<string>()
  for (const { value, pointer } of valuesOf(parts, 'required')) {
    if (!Array.isArray(value)) throw new SchemaError(pointer, 'Must be a list of names.')
    for (const [index, name] of (value as unknown[]).entries()) {
      if (typeof name !== 'string') throw new SchemaError(below(pointer, index), 'Must be a string.')
      names.add(name)
    }
  }
  return names
}

function propertiesOf({ schema, pointer }: Part): Map<string, unknown> {
  const { properties } = schema
  if (properties === undefined) return new Map()
  if (!isSchema(properties)) throw new SchemaError(below(pointer, 'properties'), 'Must be an object of schemas.')
  return new Map(Object.entries(properties))
}

function propertySchemas(parts: readonly Part[], name: string): Located[] {
  return parts.flatMap((part) => {
    const properties = propertiesOf(part)
    if (properties.has(name)) return [{ schema: properties.get(name), pointer: below(part.pointer, 'properties', name) }]
    return additional(part)
  })
}

function additional({ schema, pointer }: Part): Located[] {
  const { additionalProperties } = schema
  return additionalProperties === undefined ? [] : [{ schema: additionalProperties, pointer: below(pointer, 'additionalProperties') }]
}

/** The rule for one member with a name that is not declared; undefined if there may be none. */
function otherMembers(
  context: SchemaContext,
  parts: readonly Part[],
  names: ReadonlySet<string>,
  hint: string,
  wanted: string | undefined,
): string | undefined {
  const schemas = parts.flatMap(additional)
  // The specification allows any then, but whoever lists properties means these.
  if (schemas.length === 0 && parts.some(({ schema }) => schema['properties'] !== undefined)) return undefined
  const value = context.value(schemas, `${hint}-other`)
  if (value === undefined || wanted === undefined) return undefined
  const { rules } = context
  const name = names.size === 0 ? wanted : rules.add(`${hint}-other-name`, otherNameBody(rules, [...names], hint))
  return rules.add(`${hint}-other-member`, `${name} ${rules.json('colon')} ${value}`)
}

/** The rule for names that are not declared, as `propertyNames` wants them. */

function otherName(context: SchemaContext, parts: readonly Part[], names: ReadonlySet<string>, hint: string): string | undefined {
  const { rules } = context
  const [first, ...others] = valuesOf(parts, 'propertyNames').map(({ value, pointer }) => ({ schema: value, pointer }))
  if (first !== undefined) {
    const text: Part = { schema: { type: 'string' }, pointer: first.pointer, without: ['propertyNames'] }
    const name = context.value([first, ...others, text], `${hint}-name`)
    if (names.size === 0) return name
    if (name !== rules.json('string')) throw new SchemaError(first.pointer, 'Is only supported for objects without "properties" and "required".')
  }
  return rules.json('string')
}

function unsupportedCount(parts: readonly Part[], keyword: string): SchemaError {
  return new SchemaError(valuesOf(parts, keyword)[0]?.pointer ?? '', 'Is only supported where it changes nothing, or as at most 1 at least for objects without "properties".')
}
