import { Compile } from 'typebox/compile'
import { ServiceError } from '../../shared/errors.ts'
import type { Marks } from './parameter.ts'

export interface Problem {
  /** Place of the value, as "messages[0].role"; empty for the body itself. */
  param: string
  message: string
}

/**
 * The first problem of a value that does not meet its schema, told by what is allowed at its place and what type was found. Unions of
 * objects are told apart by their `type`, so that the branch that was meant is the one that is told about.
 */
export function firstProblem(schema: LooseSchema, value: unknown, path = '', union = schema): Problem {
  if (schema.anyOf !== undefined) {
    const branch = meantBranch(branchesOf(schema), value)
    return branch === undefined ? ofNoBranch(branchesOf(schema), value, path, union) : firstProblem(branch, value, path, union)
  }
  if (schema.type === 'array' && Array.isArray(value)) return problemInArray(schema, value, path, union)
  if (schema.type === 'object' && isObject(value)) return problemInObject(schema, value, path, union)
  return wrong(union, value, path)
}

function problemInArray({ items, minItems = 0, maxItems = Infinity }: LooseSchema, value: readonly unknown[], path: string, union: LooseSchema): Problem {
  if (items === undefined || value.length < minItems || value.length > maxItems) return wrong(union, value, path)
  const index = value.findIndex((item) => !accepts(items, item))
  return index < 0 ? wrong(union, value, path) : firstProblem(items, value[index], `${path}[${index}]`)
}

function problemInObject({ properties = {}, required = [], additionalProperties }: LooseSchema, value: Record<string, unknown>, path: string, union: LooseSchema): Problem {
  const place = (name: string): string => (path === '' ? name : `${path}.${name}`)
  for (const [name, inner] of Object.entries(properties)) {
    if (value[name] === undefined) {
      if (required.includes(name)) return { param: place(name), message: `'${place(name)}' is missing.` }
    } else if (!accepts(inner, value[name])) return firstProblem(inner, value[name], place(name))
  }
  if (typeof additionalProperties === 'object') {
    for (const name in value) {
      if (Object.hasOwn(properties, name) || accepts(additionalProperties, value[name])) continue
      return firstProblem(additionalProperties, value[name], /^\d+$/.test(name) ? `${path}[${name}]` : place(name))
    }
  }
  return wrong(union, value, path)
}

/** The branch that an array or object was meant for: of objects by their `type`, of arrays by the first item. */
function meantBranch(branches: readonly LooseSchema[], value: unknown): LooseSchema | undefined {
  if (Array.isArray(value)) {
    const arrays = branches.filter(({ type }) => type === 'array')
    return arrays.length > 1 ? arrays.find(({ items }) => value.length === 0 || (items !== undefined && accepts(items, value[0]))) : arrays[0]
  }
  if (!isObject(value)) return undefined
  return branches.find(({ type, properties, required = [] }) => {
    const tag = properties?.['type']
    if (type !== 'object' || tag === undefined) return type === 'object'
    return value['type'] === undefined ? !required.includes('type') : accepts(tag, value['type'])
  })
}

/** What is wrong where no branch was meant: what tells them apart. */
function ofNoBranch(branches: readonly LooseSchema[], value: unknown, path: string, union: LooseSchema): Problem {
  if (Array.isArray(value)) {
    const items = branches.flatMap((branch) => branch.items ?? [])
    return items.length === 0 ? wrong(union, value, path) : firstProblem({ anyOf: items }, value[0], `${path}[0]`)
  }
  const tags = branches.flatMap(({ properties }) => properties?.['type'] ?? [])
  if (!isObject(value) || tags.length === 0) return wrong(union, value, path)
  const param = path === '' ? 'type' : `${path}.type`
  if (value['type'] === undefined) return { param, message: `'${param}' is missing.` }
  return wrong({ anyOf: [...new Set(tags.flatMap((tag) => tag.enum ?? [tag.const]))].map((allowed) => ({ const: allowed })) }, value['type'], param)
}

function wrong(schema: LooseSchema, value: unknown, param: string): Problem {
  const allowed = describeSchema(schema)
  const found = typeName(value)
  if (param === '') return { param, message: `The body must be ${allowed === '' ? 'an object' : allowed}, but it is ${found}.` }
  return { param, message: `Invalid value for '${param}': it must be ${allowed === '' ? 'of another type' : allowed}, but ${found} was sent.` }
}

/** Made at the first use. What isn't compiled takes seconds over the megabytes that somebody may send. */
const validators = new WeakMap<LooseSchema, ReturnType<typeof Compile>>()

function accepts(schema: LooseSchema, value: unknown): boolean {
  let validator = validators.get(schema)
  if (validator === undefined) {
    validator = Compile(schema)
    validators.set(schema, validator)
  }
  return validator.Check(value)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
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

function segments(pointer: string): string[] {
  return pointer === '' ? [] : pointer.slice(1).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
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
