import type { TSchema } from 'typebox'

/** What of a schema is read here: all that record.ts uses. */
interface Described {
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  maxItems?: number
  items?: Described
  properties?: Record<string, Described>
  required?: readonly string[]
  additionalProperties?: unknown
}

/**
 * A schema of records as a regular expression over their canonical JSON: a text that it matches is one that the schema allows, and no other
 * spelling of it. Numbers from 10^15 on it leaves out, so that what it does not match may still be a record. A match is several times as fast
 * as to parse, check and print again. `captured` are members, texts or choices, whose values become groups of their names.
 * Throws TypeError for a schema that is made of other things than records are. Patterns of texts must not allow quotation marks.
 */
export function textPattern(schema: TSchema, captured: readonly string[] = []): RegExp {
  return new RegExp(`^${patternOf(schema, new Set(captured))}$`)
}

function patternOf(schema: Described, captured: ReadonlySet<string> = new Set()): string {
  if (schema.enum !== undefined) return `(?:${schema.enum.map(literal).join('|')})`
  if (schema.const !== undefined) return literal(schema.const)
  if (schema.type === 'boolean') return '(?:true|false)'
  if (schema.type === 'integer') return integer(schema)
  if (schema.type === 'string') return text(schema)
  if (schema.type === 'array' && schema.items !== undefined && schema.maxItems !== undefined) {
    const item = patternOf(schema.items)
    return `\\[(?:${item}(?:,${item}){0,${schema.maxItems - 1}})?\\]`
  }
  if (schema.type === 'object' && schema.properties !== undefined && schema.additionalProperties === false) return object(schema, captured)
  throw new TypeError(`no pattern for a schema of ${JSON.stringify(schema)}`)
}

function integer({ minimum, maximum }: Described): string {
  if (minimum !== 0 || maximum !== Number.MAX_SAFE_INTEGER) throw new TypeError('no pattern for whole numbers with other limits')
  return '(?:0|[1-9][0-9]{0,14})'
}

/** Printable ASCII that needs no escape, as long as it may be; then what the schema says. */
function text({ pattern, minLength = 0, maxLength }: Described): string {
  if (pattern === undefined || !pattern.startsWith('^') || !pattern.endsWith('$')) throw new TypeError('no pattern for a text whose own is not of all of it')
  return `"(?=[ !#-\\[\\]-~]{${minLength},${maxLength ?? ''}}")(?:${pattern.slice(1, -1)})"`
}

function object({ properties = {}, required = [] }: Described, captured: ReadonlySet<string>): string {
  const keys = Object.keys(properties).toSorted()
  const members = keys.map((key) => {
    const value = patternOf(properties[key] ?? {})
    return `${literal(key)}:${captured.has(key) ? `(?<${key}>${value})` : value}`
  })
  if (required.length === keys.length) return `\\{${members.join(',')}\\}`
  // Each with a comma behind it unless it is the last.
  return `\\{${members.map((member, at) => `(?:${member}(?:,(?!\\})|(?=\\})))${required.includes(keys[at] ?? '') ? '' : '?'}`).join('')}\\}`
}

function literal(value: unknown): string {
  return RegExp.escape(JSON.stringify(value))
}
