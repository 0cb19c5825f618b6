import { createAutomaton } from './automaton.ts'
import { GrammarError } from './expression.ts'
import { jsonRules } from './json-rules.ts'
import { schemaRule } from './json-schema.ts'
import { type JsonRule, literal, type Rules } from './rules.ts'
import { SchemaError } from './schema-error.ts'
import { createSchemaWork, type SchemaWork } from './schema-work.ts'

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

/** `work` is shared by the builders of one request. */
export function createGrammarBuilder(work: SchemaWork = createSchemaWork()): GrammarBuilder {
  const rules = createRules()
  return {
    add: rules.add,
    schema(schema, pointer) {
      const before = rules.count()
      const name = schemaRule(rules, work, schema, pointer)
      checkRules(rules.build(name, before), pointer)
      return name
    },
    json: () => rules.json('value'),
    jsonObject: () => rules.json('object'),
    build: (root) => rules.build(root),
  }
}

/** That they can be run, and that a value that fulfils them ends: a schema may refer to itself without need or end. */
function checkRules(grammar: string, pointer: string): void {
  try {
    createAutomaton(grammar)
  } catch (thrown) {
    if (!(thrown instanceof GrammarError)) throw thrown
    const why = thrown.reason === 'too_large' ? 'The schema is too large.' : 'No value can fulfil this: it refers to itself without end.'
    throw new SchemaError(pointer, why)
  }
}

interface GrammarRules extends Rules {
  /** All rules so far. */
  count(): number
  /** The text of the rules from the given one on, and of those that all share. */
  build(root: string, from?: number): string
}

function createRules(): GrammarRules {
  const bodies = new Map<string, string>([['root', '']])
  const counts = new Map<string, number>()
  const shared = new Map<JsonRule, string>()

  const rules: GrammarRules = {
    count: () => bodies.size,
    reserve(hint) {
      const base = hint.replaceAll(/[^a-zA-Z0-9]+/gv, '-').replaceAll(/^-|-$/gv, '').slice(0, 20) || 'rule'
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
    discard(name) {
      bodies.delete(name)
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
    build(root, from = 1) {
      const own = [...bodies].slice(from)
      const known = new Set(own.map(([name]) => name))
      for (const name of shared.values()) if (!known.has(name)) own.push([name, bodies.get(name) ?? ''])
      return [['root', root], ...own].map(([name, body]) => `${name} ::= ${body}\n`).join('')
    },
  }
  return rules
}
