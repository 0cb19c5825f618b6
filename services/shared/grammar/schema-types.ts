import { assertionsOf, type Part, valuesOf } from './schema-document.ts'
import { below, SchemaError } from './schema-error.ts'
import { assertions, type JsonType } from './schema-keywords.ts'

const all: readonly JsonType[] = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']

/** The types that a value of all the parts may have. Throws SchemaError. */
export function typesOf(parts: readonly Part[]): ReadonlySet<JsonType> {
  const explicit = parts.filter((part) => valuesOf([part], 'type').length > 0)
  let types = new Set(all)
  for (const part of explicit) types = types.intersection(explicitTypes(part))
  if (explicit.length > 0) return types
  // Beside an enum, such keywords say nothing of its other values.
  if (valuesOf(parts, 'enum').length + valuesOf(parts, 'const').length > 0) return types
  const meant = parts.flatMap(assertionsOf).map((keyword) => assertions.get(keyword) ?? 'any').filter((type) => type !== 'any')
  if (meant.includes('number')) meant.push('integer')
  if (parts.some(isNullable)) meant.push('null')
  return meant.length > 0 ? new Set(meant) : types
}

function explicitTypes(part: Part): Set<JsonType> {
  const { type } = part.schema
  const pointer = below(part.pointer, 'type')
  const list: unknown[] = Array.isArray(type) ? type : [type]
  const types = new Set<JsonType>()
  for (const [index, name] of list.entries()) {
    const known = all.find((candidate) => candidate === name)
    if (known === undefined) {
      throw new SchemaError(Array.isArray(type) ? below(pointer, index) : pointer, `Must be one of ${all.map((name) => `"${name}"`).join(', ')}.`)
    }
    types.add(known)
    if (known === 'number') types.add('integer')
  }
  if (isNullable(part)) types.add('null')
  return types
}

/** OpenAPI 3.0's way to say it. */
function isNullable({ schema, pointer }: Part): boolean {
  const { nullable } = schema
  if (nullable !== undefined && typeof nullable !== 'boolean') throw new SchemaError(below(pointer, 'nullable'), 'Must be true or false.')
  return nullable === true
}
