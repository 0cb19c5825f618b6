import { jsonRules } from './json-rules.ts'
import { schemaRule } from './json-schema.ts'
import { type JsonRule, literal, type Rules } from './rules.ts'

export { literal }

export interface GrammarBuilder {
  /** Adds a rule named after the hint, made unique; returns its name. */
  add(hint: string, body: string): string
  /** Rules for a JSON Schema; returns the name of the one for the whole. The pointer is put before those of errors. Throws SchemaError. */
  schema(schema: unknown, pointer: string): string
  /** Any JSON value. */
  json(): string
  jsonObject(): string
  /** The grammar's GBNF text; `root` is what it begins with, a rule's name or a body. */
  build(root: string): string
}

export function createGrammarBuilder(): GrammarBuilder {
  const rules = createRules()
  return {
    add: rules.add,
    schema: (schema, pointer) => schemaRule(rules, schema, pointer),
    json: () => rules.json('value'),
    jsonObject: () => rules.json('object'),
    build: (root) => rules.build(root),
  }
}

function createRules(): Rules & { build(root: string): string } {
  const bodies = new Map<string, string>([['root', '']])
  const counts = new Map<string, number>()
  const shared = new Map<JsonRule, string>()

  const rules: Rules & { build(root: string): string } = {
    reserve(hint) {
      const base = hint.replaceAll(/[^a-zA-Z0-9]+/gv, '-').replaceAll(/^-|-$/gv, '').slice(0, 40) || 'rule'
      let name = base
      while (bodies.has(name)) {
        const count = (counts.get(base) ?? 1) + 1
        counts.set(base, count)
        name = `${base}-${count}`
      }
      bodies.set(name, '')
      return name
    },
    define(name, body) {
      bodies.set(name, body)
    },
    add(hint, body) {
      const name = rules.reserve(hint)
      rules.define(name, body)
      return name
    },
    json(rule) {
      const known = shared.get(rule)
      if (known !== undefined) return known
      const name = rules.reserve(`json-${rule}`)
      shared.set(rule, name)
      rules.define(name, jsonRules[rule](rules.json))
      return name
    },
    build(root) {
      bodies.set('root', root)
      return Array.from(bodies, ([name, body]) => `${name} ::= ${body}\n`).join('')
    },
  }
  return rules
}
