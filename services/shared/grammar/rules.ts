/** The rules of a grammar that is being made. */
export interface Rules {
  /** A name that no other rule has; `define` must follow. */
  reserve(hint: string): string
  define(name: string, body: string): void
  /** Takes back a reserved name that nothing refers to. */
  discard(name: string): void
  add(hint: string, body: string): string
  /** The rule for something that many grammars need; see json-rules.ts. */
  json(name: JsonRule): string
}

export type JsonRule =
  | 'value'
  | 'object'
  | 'array'
  | 'string'
  | 'character'
  | 'plain-character'
  | 'escape'
  | 'code-unit'
  | 'number'
  | 'integer'
  | 'space'
  | 'comma'
  | 'colon'

/** A GBNF literal that stands for the text. */
export function literal(text: string): string {
  let spelt = ''
  for (const character of text.toWellFormed()) {
    const code = character.codePointAt(0) ?? 0
    if (character === '"' || character === '\\') spelt += `\\${character}`
    else if (code < 0x20 || code === 0x7f) spelt += `\\x${code.toString(16).padStart(2, '0')}`
    else spelt += character
  }
  return `"${spelt}"`
}

/** GBNF for the value's JSON text, with white space where other values may have it. */
export function jsonText(rules: Rules, value: unknown): string {
  if (typeof value !== 'object' || value === null) return literal(JSON.stringify(value))
  const [begin, end] = Array.isArray(value) ? ['"["', '"]"'] : ['"{"', '"}"']
  const members = Object.entries(value).map(([name, member]: [string, unknown]) => {
    const text = jsonText(rules, member)
    return Array.isArray(value) ? text : `${literal(JSON.stringify(name))} ${rules.json('colon')} ${text}`
  })
  const space = rules.json('space')
  return members.length === 0 ? `${begin} ${space} ${end}` : `${begin} ${space} ${members.join(` ${rules.json('comma')} `)} ${space} ${end}`
}

/** One of these; in brackets if they are many. */
export function choice(options: readonly string[]): string {
  return options.length === 1 ? (options[0] ?? '""') : `(${options.join(' | ')})`
}
