import { formats } from './formats.ts'
import type { SchemaNode } from './schema-node.ts'

/** Longest text that is repeated in an error. Longer ones may well be a key or a prompt put in the wrong place. */
const longestShown = 40

/** What a schema allows, to follow "allowed:". */
export function allowedText(schema: SchemaNode): string {
  if (schema.enum !== undefined) return oneOf(schema.enum.map(String))
  switch (schema.type) {
    case 'boolean':
      return 'true or false'
    case 'number':
      return `a number${rangeText(schema)}`
    case 'integer':
      return `a whole number${rangeText(schema)}${schema.unit === undefined ? '' : ` (${schema.unit})`}`
    case 'array': {
      const atLeast = schema.minItems === undefined ? '' : ` of at least ${schema.minItems}`
      return `a list${atLeast}, each item ${allowedText(schema.items ?? {})}`
    }
    case 'object':
      return `a map of ${oneOf(Object.keys(schema.properties ?? {}), 'and')}`
    default:
      return schema.default === '' ? `${textKind(schema)}, or empty` : textKind(schema)
  }
}

function textKind(schema: SchemaNode): string {
  const format = schema.format === undefined ? undefined : formats[schema.format]
  if (format !== undefined) return format.allowed
  if (schema.pattern !== undefined) return `text that matches ${schema.pattern}`
  const { minLength, maxLength } = schema
  if (maxLength !== undefined) return `text of ${minLength ?? 0} to ${maxLength} characters`
  return minLength === undefined ? 'text' : 'text that is not empty'
}

function rangeText({ minimum, maximum }: SchemaNode): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`
  if (minimum !== undefined) return `, at least ${minimum}`
  return maximum === undefined ? '' : `, at most ${maximum}`
}

/** "a", "a or b", "a, b or c". */
export function oneOf(words: readonly string[], word = 'or'): string {
  const last = words.at(-1) ?? ''
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} ${word} ${last}`
}

/** A value as an error may show it: its type, and itself where it is short and no URL with a password. */
export function foundText(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return value.length === 1 ? 'a list of 1 item' : `a list of ${value.length} items`
  switch (typeof value) {
    case 'boolean':
      return String(value)
    case 'number':
    case 'bigint':
      return `the number ${value}`
    case 'string':
      return value.length <= longestShown && !/:\/\/.*@/.test(value)
        ? `the text ${quoted(value)}`
        : `text of ${value.length} characters`
    default:
      return 'a map'
  }
}

/** A name from outside on one line, short, and unable to move a terminal's cursor. */
export function shownName(name: string): string {
  const short = name.length > longestShown ? `${name.slice(0, longestShown)}…` : name
  return /^[\w.-]+$/.test(short) ? short : quoted(short)
}

function quoted(text: string): string {
  // JSON leaves DEL, the C1 controls and the marks that reorder text as they are.
  return JSON.stringify(text).replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
