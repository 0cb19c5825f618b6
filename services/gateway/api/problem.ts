import type { TSchema } from 'typebox'
import { ServiceError } from '../../shared/errors.ts'
import type { Marks } from './parameter.ts'

export interface Problem {
  /** Place of the value, as "messages[0].role"; empty for the body itself. */
  param: string
  message: string
}

interface Validator {
  Errors(value: unknown): { keyword: string; instancePath: string; schemaPath: string; params: object; message: string }[]
}

/** The most telling problem of a value that does not meet its schema: the deepest place, told by what is allowed there and what type was found. */
export function firstProblem(validator: Validator, schema: TSchema, value: unknown): Problem {
  // A constant that another branch of its union allows is not what is wrong.
  const errors = validator.Errors(value).filter(({ keyword, instancePath }) => (keyword !== 'const' && keyword !== 'enum') || !allows(subschema(schema, instancePath), at(value, instancePath)))
  const missing = errors.find((error) => error.keyword === 'required')
  // A union reports each of its branches; what its own place allows says it best.
  const deepest = errors.filter((error) => error.keyword !== 'required').toSorted((a, b) => depth(b.instancePath) - depth(a.instancePath))[0]
  if (missing !== undefined && (deepest === undefined || depth(missing.instancePath) >= depth(deepest.instancePath))) {
    const names = 'requiredProperties' in missing.params && Array.isArray(missing.params.requiredProperties) ? missing.params.requiredProperties : []
    const param = joinPath(missing.instancePath, String(names[0] ?? ''))
    return { param, message: `'${param}' is missing.` }
  }
  const pointer = deepest?.instancePath ?? ''
  const param = paramOf(pointer)
  const found = typeName(at(value, pointer))
  const allowed = describeSchema(subschema(schema, pointer))
  if (param === '') return { param, message: `The body must be ${allowed === '' ? 'an object' : allowed}, but it is ${found}.` }
  return { param, message: `Invalid value for '${param}': it must be ${allowed === '' ? 'of another type' : allowed}, but ${found} was sent.` }
}

/**
 * The text of a request body as JSON. Throws INVALID_ARGUMENT invalid_json, which tells where and not what: V8's own messages quote the text.
 */
export function parseJson(bytes: Buffer): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_json', 'The body is not valid UTF-8. Send JSON in UTF-8.')
  }
  if (nestedTooDeep(bytes)) throw new ServiceError('INVALID_ARGUMENT', 'invalid_json', `The body is nested deeper than ${maxDepth} levels.`)
  try {
    return JSON.parse(text)
  } catch (thrown) {
    const position = thrown instanceof Error ? / at position (\d+)(?: \(line \d+ column \d+\))?$/.exec(thrown.message)?.[1] : undefined
    const where = text.trim() === '' ? 'it is empty' : position === undefined ? 'it ends too early or is malformed' : `it goes wrong at character ${position}`
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_json', `The body is not valid JSON: ${where}.`)
  }
}

/** Far beyond what anybody means; what is deeper would overflow the stack of whoever walks it. */
const maxDepth = 512
const quote = 0x22
const backslash = 0x5c

function nestedTooDeep(json: Buffer): boolean {
  // A body with so few brackets can't be, wherever they stand: that is nearly all of them.
  let brackets = 0
  for (const byte of json) if ((byte | 0x20) === 0x7b) brackets += 1
  if (brackets <= maxDepth) return false
  let level = 0
  let inString = false
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] ?? 0
    if (inString) {
      if (byte === backslash) at += 1
      else if (byte === quote) inString = false
    } else if (byte === quote) inString = true
    else if ((byte | 0x20) === 0x7b) {
      level += 1
      if (level > maxDepth) return true
    } else if ((byte | 0x20) === 0x7d) level -= 1
  }
  return false
}

function depth(pointer: string): number {
  return pointer.split('/').length
}

function segments(pointer: string): string[] {
  return pointer === '' ? [] : pointer.slice(1).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function paramOf(pointer: string): string {
  return segments(pointer).reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`), '')
}

function joinPath(pointer: string, name: string): string {
  const parent = paramOf(pointer)
  return parent === '' ? name : `${parent}.${name}`
}

function at(value: unknown, pointer: string): unknown {
  return segments(pointer).reduce<unknown>(
    (inner, part) => (typeof inner === 'object' && inner !== null && Object.hasOwn(inner, part) ? (inner as Record<string, unknown>)[part] : undefined),
    value,
  )
}

export interface LooseSchema extends Marks {
  description?: string
  required?: readonly string[]
  type?: string
  enum?: readonly unknown[]
  const?: unknown
  anyOf?: LooseSchema[]
  properties?: Record<string, LooseSchema>
  items?: LooseSchema
  additionalProperties?: LooseSchema | boolean
  maxProperties?: number
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
}

/** What is allowed at a place, through the branches of each union that lead there. */
export function subschema(schema: LooseSchema, pointer: string): LooseSchema | undefined {
  let inner: LooseSchema | undefined = schema
  for (const part of segments(pointer)) {
    const next: LooseSchema[] = branchesOf(inner).flatMap((branch) => innerOf(branch, part))
    const [only] = next
    inner = next.length > 1 ? { anyOf: next } : only
  }
  return inner
}

/** Whether one of the constants at a place is this value. */
function allows(schema: LooseSchema | undefined, value: unknown): boolean {
  return branchesOf(schema).some((branch) => (branch.const !== undefined && branch.const === value) || branch.enum?.includes(value) === true)
}

function innerOf({ properties, items, additionalProperties }: LooseSchema, part: string): LooseSchema[] {
  const inner = (properties !== undefined && Object.hasOwn(properties, part) ? properties[part] : undefined) ?? items ?? additionalProperties
  return typeof inner === 'object' ? [inner] : []
}

/** The alternatives of a union, those of unions in it too. */
export function branchesOf(schema: LooseSchema | undefined): LooseSchema[] {
  if (schema === undefined) return []
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(branchesOf)
}

export function describeSchema(schema: LooseSchema | undefined): string {
  if (schema === undefined) return ''
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(describeSchema))].filter((text) => text !== '').join(' or ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return `one of ${schema.enum.map((allowed) => JSON.stringify(allowed)).join(', ')}`
  switch (schema.type) {
    case 'number':
    case 'integer':
      return `${schema.type === 'integer' ? 'an integer' : 'a number'}${range(schema.minimum, schema.maximum)}`
    case 'string':
      return `a string${range(schema.minLength, schema.maxLength, ' characters')}`
    case 'array':
      return `an array${range(schema.minItems, schema.maxItems, ' items')}`
    case 'object':
      return `an object${range(undefined, schema.maxProperties, ' names')}`
    case 'boolean':
      return 'true or false'
    case 'null':
      return 'null'
    default:
      return ''
  }
}

function range(least: number | undefined, most: number | undefined, unit = ''): string {
  if (least !== undefined && most !== undefined) return ` from ${least} to ${most}${unit}`
  if (least !== undefined) return ` of at least ${least}${unit}`
  return most === undefined ? '' : ` of at most ${most}${unit}`
}

function typeName(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a number'
  if (value === '') return 'an empty string'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
