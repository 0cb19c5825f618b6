import { formats } from './formats.ts'
import type { SchemaNode } from './schema-node.ts'
import { suggest } from './suggest.ts'
import { allowedText, foundText, shownName } from './wording.ts'

/** Something wrong inside a value. */
export interface Finding {
  /** Place inside the value: keys and indices. */
  readonly at: readonly (string | number)[]
  /** True when the key itself is wrong, not what it holds. */
  readonly atKey?: boolean
  readonly found: string
  readonly allowed: string
  /** What to do, as a sentence. */
  readonly suggestion?: string | undefined
}

/** All that is wrong with a setting's value. Nothing is coerced. */
export function checkValue(schema: SchemaNode, value: unknown, at: Finding['at'] = []): Finding[] {
  switch (schema.type) {
    case 'array':
      return checkList(schema, value, at)
    case 'object':
      return checkMap(schema, value, at)
    default:
      return acceptsScalar(schema, value) ? [] : [wrong(schema, value, at)]
  }
}

function checkList(schema: SchemaNode, value: unknown, at: Finding['at']): Finding[] {
  if (!Array.isArray(value) || value.length < (schema.minItems ?? 0)) return [wrong(schema, value, at)]
  return value.flatMap((item: unknown, index) => checkValue(schema.items ?? {}, item, [...at, index]))
}

function checkMap(schema: SchemaNode, value: unknown, at: Finding['at']): Finding[] {
  if (!isMap(value)) return [wrong(schema, value, at)]
  const properties = schema.properties ?? {}
  const findings: Finding[] = []
  for (const [key, item] of Object.entries(value)) {
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (property === undefined) findings.push(unknownKey(key, Object.keys(properties), at))
    else findings.push(...checkValue(property, item, [...at, key]))
  }
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key))
      findings.push({ at: [...at, key], found: 'nothing', allowed: allowedText(properties[key] ?? {}) })
  }
  return findings
}

/** A key that a map doesn't have. What it holds is not shown: it may be anything. */
export function unknownKey(key: string, known: readonly string[], at: Finding['at']): Finding {
  const suggestion = suggest(key, known)
  return {
    at: [...at, key],
    atKey: true,
    found: `an unknown setting ${shownName(key)}`,
    allowed: known.join(', '),
    suggestion: suggestion === undefined ? undefined : `Did you mean "${suggestion}"?`,
  }
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function acceptsScalar(schema: SchemaNode, value: unknown): boolean {
  if (schema.enum !== undefined) return schema.enum.includes(value)
  switch (schema.type) {
    case 'boolean':
      return typeof value === 'boolean'
    case 'number':
    case 'integer':
      return (
        (schema.type === 'number' ? Number.isFinite(value) : Number.isInteger(value)) &&
        typeof value === 'number' &&
        value >= (schema.minimum ?? value) &&
        value <= (schema.maximum ?? value)
      )
    case 'string':
      return typeof value === 'string' && acceptsText(schema, value)
    default:
      throw new Error(`the configuration's schema has a type that is not understood: ${schema.type}`)
  }
}

function acceptsText(schema: SchemaNode, text: string): boolean {
  // Empty stands for "not set" where that is the default.
  if (text === '' && schema.default === '') return true
  if (text.length < (schema.minLength ?? 0) || text.length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) return false
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(text)) return false
  return schema.format === undefined || formats[schema.format]?.accepts(text) === true
}

function wrong(schema: SchemaNode, value: unknown, at: Finding['at']): Finding {
  return { at, found: foundText(value), allowed: allowedText(schema), suggestion: hint(schema, value) }
}

/** The usual slips of YAML, and misspelt choices. */
function hint(schema: SchemaNode, value: unknown): string | undefined {
  if (value === null) return 'Write a value, or remove the line to have the default.'
  if (schema.type === 'array' && acceptsAsItem(schema, value)) return 'Write it as a list: [value].'
  if (schema.enum !== undefined) {
    if (value === false && schema.enum.includes('off')) return 'Did you mean "off"?'
    const choice = typeof value === 'string' ? suggest(value, schema.enum.map(String)) : undefined
    return choice === undefined ? undefined : `Did you mean "${choice}"?`
  }
  if (schema.type === 'string' && typeof value === 'number') return 'Put it in quotes to make it text.'
  if (typeof value !== 'string') return undefined
  if (schema.type === 'integer' && /^-?\d+$/.test(value)) return 'Write it without quotes to make it a number.'
  if (schema.type === 'number' && /^-?\d+(\.\d+)?$/.test(value)) return 'Write it without quotes to make it a number.'
  if (schema.type !== 'boolean') return undefined
  // YAML 1.2 reads yes, no, on and off as text.
  if (/^(true|yes|on)$/i.test(value)) return 'Write true (without quotes).'
  return /^(false|no|off)$/i.test(value) ? 'Write false (without quotes).' : undefined
}

function acceptsAsItem(schema: SchemaNode, value: unknown): boolean {
  return value !== undefined && checkValue(schema.items ?? {}, value).length === 0
}
