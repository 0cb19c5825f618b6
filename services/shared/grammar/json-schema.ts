/**
 * JSON Schema (draft 2020-12) to GBNF. Every text of the grammar fulfils the schema; what can't be promised is refused
 * with its place. The grammar may take fewer texts than the schema does, where a model has no use for the rest:
 *
 * - Properties come in the order in which the schema names them, each once; others come after them, and only where
 *   `additionalProperties` says so, though by the specification they may where it says nothing.
 * - Keywords for one type without a `type` mean that type.
 * - White space, digits of numbers and lengths of some formats are bounded.
 */
import { arrayBody } from './schema-array.ts'
import { checkSize, createSchemaDocument, type Located, type Part, partKey, schemaList, valuesOf, without } from './schema-document.ts'
import { areDisjoint } from './schema-disjoint.ts'
import { enumeratedValues } from './schema-enum.ts'
import { below, SchemaError } from './schema-error.ts'
import { numberBody } from './schema-number.ts'
import { objectBody } from './schema-object.ts'
import { checkFormats, createStringContext, stringBody } from './schema-string.ts'
import type { SchemaWork } from './schema-work.ts'
import type { JsonType } from './schema-keywords.ts'
import { typesOf } from './schema-types.ts'
import { choice, jsonText, type Rules } from './rules.ts'

/** Schemas that one may become: references and alternatives multiply them. */
const maxRules = 5000

export interface SchemaContext {
  readonly rules: Rules
  readonly work: SchemaWork
  /** The rule for what fulfils all of these; undefined if nothing does. Throws SchemaError. */
  value(schemas: readonly (Located | Part)[], hint: string): string | undefined
  flatten(schemas: readonly (Located | Part)[]): Part[] | undefined
}

/** Adds rules for a schema; returns the name of the first. Throws SchemaError. */
export function schemaRule(rules: Rules, work: SchemaWork, schema: unknown, pointer: string): string {
  checkSize(schema, pointer)
  const root = { schema, pointer }
  const document = createSchemaDocument(root)
  const names = new Map<string, string | undefined>()
  const referred = new Set<string>()
  const strings = createStringContext(rules)

  /** `open` are the schemas of which this one is an alternative: it begins where they begin. */
  function value(schemas: readonly (Located | Part)[], hint: string, open: readonly string[]): string | undefined {
    const parts = document.flatten(schemas)
    work.spend(schemas.length + (parts?.length ?? 0), parts?.at(-1)?.pointer ?? pointer)
    if (parts === undefined) return undefined
    if (parts.length === 0) return rules.json('value')
    const key = parts.map(partKey).sort().join('\n')
    const at = parts.at(-1)?.pointer ?? pointer
    if (open.includes(key)) throw new SchemaError(at, 'Refers to itself without end.')
    if (names.has(key)) {
      const known = names.get(key)
      if (known !== undefined) referred.add(known)
      return known
    }
    if (names.size >= maxRules) throw new SchemaError(at, `The schema becomes more than ${maxRules} rules.`)
    const name = rules.reserve(hint)
    names.set(key, name)
    const body = describe(parts, hint, [...open, key])
    // Many are just a rule that is there already.
    if (!referred.has(name) && (body === undefined || isRuleName(body))) {
      rules.discard(name)
      names.set(key, body)
      return body
    }
    // Who refers to what can't be fulfilled can't be either: that never ends, and the automaton leaves it out.
    rules.define(name, body ?? `"-" ${name}`)
    if (body === undefined) names.set(key, undefined)
    return body === undefined ? undefined : name
  }

  function describe(parts: readonly Part[], hint: string, open: readonly string[]): string | undefined {
    for (const keyword of ['anyOf', 'oneOf']) {
      const part = parts.find((candidate) => valuesOf([candidate], keyword).length > 0)
      if (part === undefined) continue
      const rest = parts.map((other) => (other === part ? without(part, keyword) : other))
      const branches = schemaList(part.schema[keyword], below(part.pointer, keyword))
      if (keyword === 'oneOf') checkDisjoint(branches, below(part.pointer, keyword))
      const options = new Set<string>()
      for (const branch of branches) {
        const name = value([...rest, branch], hint, open)
        if (name !== undefined) options.add(name)
      }
      return options.size === 0 ? undefined : choice([...options])
    }

    const types = typesOf(parts)
    const enumerated = enumeratedValues(parts, types)
    const options = enumerated === undefined ? typeBodies(parts, types, hint) : enumerated.map((constant) => jsonText(rules, constant))
    return options.length === 0 ? undefined : choice(options)
  }

  function typeBodies(parts: readonly Part[], types: ReadonlySet<JsonType>, hint: string): string[] {
    const context: SchemaContext = {
      rules,
      work,
      value: (schemas, memberHint) => value(schemas, memberHint, []),
      flatten: document.flatten,
    }
    checkFormats(parts, types.has('string'), types.has('integer'))
    const bodies: (string | undefined)[] = []
    if (types.has('object')) bodies.push(objectBody(context, parts, hint))
    if (types.has('array')) bodies.push(arrayBody(context, parts, hint))
    if (types.has('string')) bodies.push(stringBody(strings, parts))
    if (types.has('integer')) bodies.push(numberBody(rules, parts, !types.has('number')))
    if (types.has('boolean')) bodies.push('"true" | "false"')
    if (types.has('null')) bodies.push('"null"')
    return bodies.filter((body) => body !== undefined)
  }

  /** `oneOf` is `anyOf` where no value fulfils two branches. */
  function checkDisjoint(branches: readonly Located[], at: string): void {
    const flattened = branches.map((branch) => document.flatten([branch]))
    const sizes = flattened.map((parts) => sizeOf(parts ?? []))
    for (const [index, branch] of flattened.entries()) {
      for (const [before, other] of flattened.slice(0, index).entries()) {
        work.spend((sizes[index] ?? 1) + (sizes[before] ?? 1), at)
        if (branch === undefined || other === undefined || areDisjoint(document, branch, other)) continue
        throw new SchemaError(at, 'It is not clear that a value can fulfil only one of these; use anyOf, or a property with a "const" in each.')
      }
    }
  }

  const name = value([root], 'value', [])
  if (name === undefined) throw new SchemaError(pointer, 'Nothing can fulfil this.')
  return name
}

function isRuleName(body: string): boolean {
  return /^[a-zA-Z0-9\-]+$/v.test(body)
}

/** How much there is to compare in a branch. */
function sizeOf(parts: readonly Part[]): number {
  const lists = [...valuesOf(parts, 'enum'), ...valuesOf(parts, 'required')]
  return lists.reduce((sum, { value }) => sum + (Array.isArray(value) ? value.length : 0), 1 + parts.length)
}
