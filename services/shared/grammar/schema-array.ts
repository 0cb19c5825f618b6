import type { SchemaContext } from './json-schema.ts'
import { type Located, type Part, valuesOf } from './schema-document.ts'
import { below, SchemaError } from './schema-error.ts'
import { countLimits, times } from './schema-limits.ts'

/** Undefined if no array fulfils all of the parts. Throws SchemaError. */
export function arrayBody(context: SchemaContext, parts: readonly Part[], hint: string): string | undefined {
  for (const { value, pointer } of valuesOf(parts, 'uniqueItems')) {
    if (value !== false) throw new SchemaError(pointer, 'Only false is supported.')
  }
  const limits = countLimits(parts, 'minItems', 'maxItems')
  const { min } = limits
  const prefixLength = Math.max(0, ...parts.map((part) => prefixOf(part).length))

  const slots: string[] = []
  let { max } = limits
  for (let index = 0; index < Math.min(prefixLength, max); index++) {
    const rule = context.value(itemSchemas(parts, index), `${hint}-item-${index + 1}`)
    // No array can be longer than what comes before an impossible item.
    if (rule === undefined) max = index
    else slots.push(rule)
  }
  let rest: string | undefined
  if (max > slots.length) {
    rest = context.value(itemSchemas(parts, Number.POSITIVE_INFINITY), `${hint}-item`)
    if (rest === undefined) max = slots.length
  }
  if (max < min) return undefined

  const { rules } = context
  const comma = rules.json('comma')
  const space = rules.json('space')
  if (max === 0) return `"[" ${space} "]"`
  if (slots.length === 0) {
    const list = `${rest ?? ''} (${comma} ${rest ?? ''})${times(Math.max(0, min - 1), max - 1)} ${space}`
    return `"[" ${space} ${min === 0 ? `(${list})?` : list} "]"`
  }

  // From the last item to the first: what may follow it.
  let following = rest === undefined || max <= slots.length ? '' : `(${comma} ${rest})${times(Math.max(0, min - slots.length), max - slots.length)}`
  for (const [index, slot] of [...slots.entries()].reverse()) {
    const item = `${index === 0 ? '' : comma} ${slot} ${following}`
    following = context.rules.add(`${hint}-from-${index + 1}`, index < min ? item : `(${item})?`)
  }
  return `"[" ${space} ${following} ${space} "]"`
}

function prefixOf({ schema, pointer }: Part): unknown[] {
  const { prefixItems } = schema
  if (prefixItems === undefined) return []
  if (!Array.isArray(prefixItems)) throw new SchemaError(below(pointer, 'prefixItems'), 'Must be a list of schemas.')
  return prefixItems
}

function itemSchemas(parts: readonly Part[], index: number): Located[] {
  return parts.flatMap((part) => {
    const prefix = prefixOf(part)
    if (index < prefix.length) return [{ schema: prefix[index], pointer: below(part.pointer, 'prefixItems', index) }]
    const { items } = part.schema
    if (Array.isArray(items)) throw new SchemaError(below(part.pointer, 'items'), 'Must be a schema; lists of schemas are "prefixItems" now.')
    return items === undefined ? [] : [{ schema: items, pointer: below(part.pointer, 'items') }]
  })
}
