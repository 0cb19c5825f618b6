/** A JSON Schema as it was sent: its size is bounded, its keywords are known, its references lead somewhere. */
import { below, SchemaError } from './schema-error.ts'
import { annotations, assertions } from './schema-keywords.ts'

export type Schema = Readonly<Record<string, unknown>>

/** A schema that a value must fulfil, and where it stands. */
export interface Part {
  readonly schema: Schema
  readonly pointer: string
  /** Keywords that are dealt with already. */
  readonly without: readonly string[]
}

/** Values within each other; a property of an object is two. */
export const maxSchemaDepth = 128
/** All values and names of members. */
export const maxSchemaValues = 50_000
/** UTF-16 units of all texts and names. */
export const maxSchemaText = 128 * 1024
export const maxSchemaProperties = 1000
export const maxEnumValues = 1000

/** Throws SchemaError where a schema is too large or too deep. Follows no references. */
export function checkSize(schema: unknown, pointer: string): void {
  const pending = [{ value: schema, pointer, depth: 0 }]
  let values = 0
  let text = 0
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, pointer: at, depth } = next
    values++
    if (typeof value === 'string') text += value.length
    if (depth > maxSchemaDepth) throw new SchemaError(at, `A schema may be nested ${maxSchemaDepth} deep.`)
    if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value)) {
        if (!Array.isArray(value)) text += name.length
        pending.push({ value: member, pointer: below(at, name), depth: depth + 1 })
        if (values + pending.length > maxSchemaValues) throw new SchemaError(at, `A schema may have ${maxSchemaValues} values.`)
      }
    }
    if (text > maxSchemaText) throw new SchemaError(at, `The texts of a schema may have ${maxSchemaText} characters in all.`)
  }
}

/** A schema not looked at yet. */
export interface Located {
  readonly schema: unknown
  readonly pointer: string
}

export interface SchemaDocument {
  /**
   * What must be fulfilled to fulfil all of these, with references and `allOf` resolved; undefined if nothing can
   * (`false`). An empty list is fulfilled by anything. Throws SchemaError.
   */
  flatten(schemas: readonly (Located | Part)[]): Part[] | undefined
}

/** References are resolved in `root`. */
export function createSchemaDocument(root: Located): SchemaDocument {
  function resolve(reference: unknown, pointer: string): Located {
    if (typeof reference !== 'string') throw new SchemaError(pointer, 'Must be a string.')
    if (reference !== '#' && !reference.startsWith('#/')) {
      throw new SchemaError(pointer, 'Only references within the schema are supported: "#", "#/$defs/…".')
    }
    let { schema, pointer: target } = root
    for (const segment of reference.split('/').slice(1)) {
      const name = decode(segment)
      if (typeof schema !== 'object' || schema === null || !Object.hasOwn(schema, name)) {
        throw new SchemaError(pointer, 'Refers to something that the schema does not have.')
      }
      schema = (schema as Schema)[name]
      target = below(target, name)
    }
    return { schema, pointer: target }
  }

  /** False if nothing can fulfil it. */
  function collect({ schema, pointer }: Located, path: readonly string[], into: Map<string, Part>, seen: Map<string, boolean>): boolean {
    // What was gone through says nothing new; alternatives that meet again would double with each step.
    const known = seen.get(pointer)
    if (known !== undefined) return known
    if (typeof schema === 'boolean') return schema
    if (!isSchema(schema)) throw new SchemaError(pointer, 'A schema must be an object or a boolean.')
    if (path.includes(pointer)) throw new SchemaError(pointer, 'Refers to itself without end.')
    if (path.length >= maxSchemaDepth) throw new SchemaError(pointer, `References may lead on ${maxSchemaDepth} times.`)
    checkKeywords(schema, pointer)
    const within = [...path, pointer]
    let possible = true
    if (schema['$ref'] !== undefined) possible = collect(resolve(schema['$ref'], below(pointer, '$ref')), within, into, seen)
    if (schema['allOf'] !== undefined) {
      for (const branch of schemaList(schema['allOf'], below(pointer, 'allOf'))) {
        if (!collect(branch, within, into, seen)) possible = false
      }
    }
    addPart(into, { schema, pointer, without: ['$ref', 'allOf'] })
    seen.set(pointer, possible)
    return possible
  }

  return {
    flatten(schemas) {
      const parts = new Map<string, Part>()
      const seen = new Map<string, boolean>()
      let possible = true
      for (const schema of schemas) {
        if ('without' in schema) addPart(parts, schema)
        else if (!collect(schema, [], parts, seen)) possible = false
      }
      return possible ? [...parts.values()] : undefined
    },
  }
}

/** The schemas of a keyword that wants a list of them, which must not be empty. */
export function schemaList(value: unknown, pointer: string): Located[] {
  if (!Array.isArray(value) || value.length === 0) throw new SchemaError(pointer, 'Must be a list of schemas that is not empty.')
  return value.map((schema: unknown, index) => ({ schema, pointer: below(pointer, index) }))
}

/** The part less one keyword. */
export function without(part: Part, keyword: string): Part {
  return { ...part, without: [...part.without, keyword].sort() }
}

export function partKey({ pointer, without }: Part): string {
  return `${pointer} ${without.join(' ')}`
}

/** The keywords that say something of a value, and are not yet dealt with. */
export function assertionsOf({ schema, without }: Part): string[] {
  return Object.keys(schema).filter((keyword) => assertions.has(keyword) && !without.includes(keyword))
}

export interface Found {
  readonly value: unknown
  readonly pointer: string
}

/** What each of the parts says under a keyword. */
export function valuesOf(parts: readonly Part[], keyword: string): Found[] {
  return parts
    .filter(({ schema, without }) => schema[keyword] !== undefined && !without.includes(keyword))
    .map(({ schema, pointer }) => ({ value: schema[keyword], pointer: below(pointer, keyword) }))
}

export function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function addPart(parts: Map<string, Part>, part: Part): void {
  if (assertionsOf(part).length > 0) parts.set(partKey(part), part)
}

function checkKeywords(schema: Schema, pointer: string): void {
  for (const keyword of Object.keys(schema)) {
    // Extensions of OpenAPI say nothing of values.
    if (assertions.has(keyword) || annotations.has(keyword) || keyword.startsWith('x-')) continue
    throw new SchemaError(below(pointer, keyword), 'This keyword is not supported.')
  }
}

function decode(segment: string): string {
  let decoded = segment
  try {
    decoded = decodeURIComponent(segment)
  } catch {
    // Not an escape then, but a percent sign.
  }
  return decoded.replaceAll('~1', '/').replaceAll('~0', '~')
}
