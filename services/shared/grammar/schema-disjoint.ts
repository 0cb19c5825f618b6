import type { Part, SchemaDocument } from './schema-document.ts'
import { assertionsOf, isSchema, valuesOf } from './schema-document.ts'
import { canonicalJson, isOfType } from './schema-enum.ts'
import { below } from './schema-error.ts'
import { typesOf } from './schema-types.ts'

/** Whether it is sure that no value fulfils both. */
export function areDisjoint(document: SchemaDocument, a: readonly Part[], b: readonly Part[], depth = 0): boolean {
  // What the specification lets pass, not what is generated: keywords imply no type here.
  const typesOfA = typesOf(a.filter(isTyped))
  const typesOfB = typesOf(b.filter(isTyped))
  const valuesOfA = finiteValues(a)
  const valuesOfB = finiteValues(b)
  if (valuesOfA !== undefined && valuesOfB !== undefined) {
    const names = new Set(valuesOfB.map(canonicalJson))
    return !valuesOfA.some((value) => names.has(canonicalJson(value)))
  }
  if (valuesOfA?.every((value) => !isOfType(value, typesOfB)) === true) return true
  if (valuesOfB?.every((value) => !isOfType(value, typesOfA)) === true) return true
  const common = typesOfA.intersection(typesOfB)
  if (common.size === 0) return true
  if (depth >= 4 || common.size > 1 || !common.has('object')) return false

  const required = requiredNames(b)
  for (const name of requiredNames(a)) {
    if (!required.has(name)) {
      if (forbids(b, name)) return true
      continue
    }
    const ofA = document.flatten(propertySchemas(a, name))
    const ofB = document.flatten(propertySchemas(b, name))
    if (ofA === undefined || ofB === undefined || areDisjoint(document, ofA, ofB, depth + 1)) return true
  }
  return [...required].some((name) => forbids(a, name))
}

function isTyped(part: Part): boolean {
  return assertionsOf(part).includes('type')
}

function finiteValues(parts: readonly Part[]): unknown[] | undefined {
  const [constant] = valuesOf(parts, 'const')
  if (constant !== undefined) return [constant.value]
  const [list] = valuesOf(parts, 'enum')
  return list !== undefined && Array.isArray(list.value) ? list.value : undefined
}

function requiredNames(parts: readonly Part[]): Set<unknown> {
  return new Set(valuesOf(parts, 'required').flatMap(({ value }): unknown[] => (Array.isArray(value) ? value : [])))
}

function propertySchemas(parts: readonly Part[], name: unknown): { schema: unknown; pointer: string }[] {
  return valuesOf(parts, 'properties').flatMap(({ value, pointer }) =>
    isSchema(value) && typeof name === 'string' && Object.hasOwn(value, name) ? [{ schema: value[name], pointer: below(pointer, name) }] : [],
  )
}

function forbids(parts: readonly Part[], name: unknown): boolean {
  return valuesOf(parts, 'additionalProperties').some(({ value, pointer }) => {
    const owner = parts.find((part) => below(part.pointer, 'additionalProperties') === pointer)
    return value === false && owner !== undefined && propertySchemas([owner], name).length === 0
  })
}
