import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { ServiceError } from '../../shared/errors.ts'
import { marksOf } from './parameter.ts'
import { firstProblem, type LooseSchema, type Problem } from './problem.ts'

export interface Body<Schema extends TSchema> {
  value: Static<Schema>
  /** Places of the names that the schema does not know, such as "foo" or "messages[0].bar". */
  unknown: string[]
}

const mostUnknown = 16

/**
 * Checks request bodies against a schema. The compiled check is made at the first use. The function throws INVALID_ARGUMENT
 * invalid_value, or unsupported_parameter for a refused one, with the offending `param`; the texts name places and types, never the
 * values that were sent.
 */
export function bodyParser<Schema extends TSchema>(schema: Schema): (json: unknown) => Body<Schema> {
  let compiled: ReturnType<typeof Compile<Schema>> | undefined
  return (json) => {
    compiled ??= Compile(schema)
    if (!compiled.Check(json)) throw invalid(firstProblem(schema, json))
    const unknown: string[] = []
    inspect(schema, json, '', unknown)
    return { value: json, unknown }
  }
}

export function invalid({ param, message }: Problem): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'invalid_value', message, param === '' ? {} : { param })
}

export function unsupported(param: string, why: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'unsupported_parameter', why, { param })
}

/** Walks a valid value beside its schema: refuses what is marked so, and collects the names that the schema does not have. */
function inspect(schema: LooseSchema, value: unknown, path: string, unknown: string[]): void {
  if (typeof value !== 'object' || value === null) return
  if (schema.anyOf !== undefined) {
    const branch = schema.anyOf.find((candidate) => describes(candidate, value))
    if (branch !== undefined) inspect(branch, value, path, unknown)
    return
  }
  if (Array.isArray(value)) {
    const { items } = schema
    if (items === undefined || !mayHoldNames(items)) return
    for (const [index, item] of value.entries()) inspect(items, item, `${path}[${index}]`, unknown)
    return
  }
  const { properties } = schema
  if (properties === undefined) return
  for (const name in value) {
    const inner = Object.hasOwn(properties, name) ? properties[name] : undefined
    const place = path === '' ? name : `${path}.${name}`
    if (inner === undefined) {
      if (unknown.length < mostUnknown) unknown.push(place)
      else if (unknown.length === mostUnknown) unknown.push('...')
      continue
    }
    const given = (value as Record<string, unknown>)[name]
    const { 'x-support': support, 'x-neutral': neutral } = marksOf(inner)
    if (support === 'refused' && !isNeutral(given, neutral ?? [])) {
      const { description = '' } = inner as { description?: string }
      throw unsupported(place, `'${place}' is not supported with this value: ${description} Leave it out.`)
    }
    inspect(inner, given, place, unknown)
  }
}

function mayHoldNames(schema: LooseSchema): boolean {
  return schema.properties !== undefined || schema.anyOf !== undefined || schema.items !== undefined
}

/** Whether this branch of a union is the value's: by its kind, and by the constants of its properties. */
function describes({ type, properties, anyOf }: LooseSchema, value: object): boolean {
  if (anyOf !== undefined) return anyOf.some((branch) => describes(branch, value))
  if (Array.isArray(value)) return type === 'array'
  if (type !== 'object') return false
  for (const name in properties) {
    const inner = properties[name]
    const given = (value as Record<string, unknown>)[name]
    if (inner?.const !== undefined && inner.const !== given) return false
    if (inner?.enum !== undefined && given !== undefined && !inner.enum.includes(given)) return false
  }
  return true
}

/** Of lists, only empty ones are neutral. */
function isNeutral(value: unknown, neutral: readonly unknown[]): boolean {
  return neutral.includes(value) || (Array.isArray(value) && value.length === 0 && neutral.some(Array.isArray))
}
