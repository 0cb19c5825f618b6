import { assertionsOf, maxEnumValues, type Part, valuesOf } from './schema-document.ts'
import { below, SchemaError } from './schema-error.ts'
import type { JsonType } from './schema-keywords.ts'

const combinable: ReadonlySet<string> = new Set(['type', 'nullable', 'enum', 'const'])

/** The values that `enum` and `const` leave; undefined if there is neither. Throws SchemaError. */
export function enumeratedValues(parts: readonly Part[], types: ReadonlySet<JsonType>): unknown[] | undefined {
  const lists = valuesOf(parts, 'const').map(({ value }) => [value])
  for (const { value, pointer } of valuesOf(parts, 'enum')) {
    if (!Array.isArray(value) || value.length === 0) throw new SchemaError(pointer, 'Must be a list that is not empty.')
    if (value.length > maxEnumValues) throw new SchemaError(pointer, `An enum may have ${maxEnumValues} values; this one has ${value.length}.`)
    lists.push(value)
  }
  const [first, ...others] = lists
  if (first === undefined) return undefined
  for (const part of parts) {
    const other = assertionsOf(part).find((keyword) => !combinable.has(keyword))
    if (other !== undefined) throw new SchemaError(below(part.pointer, other), 'Is not supported together with enum or const.')
  }
  const elsewhere = others.map((list) => new Set(list.map(canonicalJson)))
  return uniqueValues(first).filter((value) => isOfType(value, types) && elsewhere.every((set) => set.has(canonicalJson(value))))
}

function uniqueValues(values: readonly unknown[]): unknown[] {
  return [...new Map(values.map((value) => [canonicalJson(value), value])).values()]
}

/** Equal for equal values. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  )
}

export function isOfType(value: unknown, types: ReadonlySet<JsonType>): boolean {
  if (value === null) return types.has('null')
  if (Array.isArray(value)) return types.has('array')
  if (typeof value === 'number') return types.has(Number.isInteger(value) ? 'integer' : 'number')
  if (typeof value === 'string') return types.has('string')
  return types.has(typeof value === 'boolean' ? 'boolean' : 'object')
}
