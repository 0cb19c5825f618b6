import { type Part, valuesOf } from './schema-document.ts'
import { SchemaError } from './schema-error.ts'

/** The least or most of something countable: the strictest of what the parts say. Throws SchemaError. */
export function countLimits(parts: readonly Part[], atLeast: string, atMost: string): { min: number; max: number } {
  let min = 0
  let max = Number.POSITIVE_INFINITY
  for (const { value, pointer } of valuesOf(parts, atLeast)) min = Math.max(min, count(value, pointer))
  for (const { value, pointer } of valuesOf(parts, atMost)) max = Math.min(max, count(value, pointer))
  return { min, max }
}

/** Counts beyond are refused; the grammar's own limit is higher. */
const maxCount = 100_000

function count(value: unknown, pointer: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw new SchemaError(pointer, 'Must be a whole number from 0.')
  if (value > maxCount) throw new SchemaError(pointer, `May be at most ${maxCount}.`)
  return value
}

/** A GBNF repetition. */
export function times(min: number, max: number): string {
  if (min === 0 && max === 1) return '?'
  if (max === Number.POSITIVE_INFINITY) return min === 0 ? '*' : `{${min},}`
  return min === max ? `{${min}}` : `{${min},${max}}`
}
