import type { GrammarBuilder } from '../../grammar/builder.ts'

export interface RegExpBuilder extends Pick<GrammarBuilder, 'add' | 'schema' | 'jsonObject'> {
  /** Of all that a rule can derive. */
  regexp(rule: string): RegExp
}

/** A JSON object, flat enough for a regular expression. */
const value = String.raw`("true" | "-"? [1-9] [0-9]{0,3} | "\"" ([^"\\\x00-\x1f\ud800-\udfff] | "\\" ["\\nt])* "\"" | "[{}, [\"]\"]]")`
const pair = String.raw`"\"" [a-z]{1,3} "\":" " "? ${value}`
const json = `"{" (${pair} (", " ${pair})?)? "}"`

/** Makes a regular expression of rules that don't refer to themselves. Schemas are any JSON object. */
export function createRegExpBuilder(): RegExpBuilder {
  const rules = new Map<string, string>()
  const add = (hint: string, body: string): string => {
    const name = `${hint}-${rules.size}`
    rules.set(name, body)
    return name
  }
  const expand = (body: string): string =>
    body.replaceAll(/"((?:[^"\\]|\\.)*)"|(\[(?:[^\]\\]|\\.)*\])|([a-z]+-\d+)|\s+|\(/g, (all: string, text?: string, set?: string, rule?: string) => {
      if (text !== undefined) return text === '' ? '' : `(?:${escapeLiteral(text)})`
      if (set !== undefined) return set
      if (rule !== undefined) return `(?:${expand(rules.get(rule) ?? '')})`
      return all === '(' ? '(?:' : ''
    })
  return {
    add,
    schema: () => add('schema', json),
    jsonObject: () => add('object', json),
    regexp: (rule) => new RegExp(`^(?:${expand(rules.get(rule) ?? '')})$`),
  }
}

/** GBNF's escapes are a regular expression's, too; what else means something there is escaped. */
function escapeLiteral(text: string): string {
  return text.replaceAll(/\\(.)|([$()*+.?[\]^{|}/])/g, (all: string, escaped?: string) =>
    escaped === undefined ? `\\${all}` : escaped === '"' ? '"' : all,
  )
}
