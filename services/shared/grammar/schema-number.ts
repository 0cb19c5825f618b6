import { type Bound, decimalRange, integerRange, toDecimal } from './number-range.ts'
import { choice, jsonText, type Rules } from './rules.ts'
import { type Part, valuesOf } from './schema-document.ts'
import { SchemaError } from './schema-error.ts'
import { numberFormats } from './string-formats.ts'

/** What is written where there is no bound: 15 digits are exact in every reader's numbers. */
const largest = 10 ** 15 - 1
/** Digits that can be told apart. */
const significantDigits = 16
const maxListedMultiples = 1000

interface Limit {
  readonly value: number
  readonly inclusive: boolean
  readonly pointer: string
}

/** Undefined if no number fulfils all of the parts. Throws SchemaError. */
export function numberBody(rules: Rules, parts: readonly Part[], integersOnly: boolean): string | undefined {
  const low = limit(parts, 'minimum', 'exclusiveMinimum', 1)
  const high = limit(parts, 'maximum', 'exclusiveMaximum', -1)
  const multiple = multipleOf(parts)
  if (!integersOnly && multiple === undefined) {
    return low === undefined && high === undefined ? rules.json('number') : decimals(low, high)
  }
  if (low === undefined && high === undefined && multiple === undefined) return rules.json('integer')
  return integers(rules, wholeLimit(low, Math.ceil, 1), wholeLimit(high, Math.floor, -1), multiple ?? { value: 1, pointer: '' })
}

/** The strictest; `sign` is 1 for limits below and -1 for limits above. */
function limit(parts: readonly Part[], inclusive: 'minimum' | 'maximum', exclusive: string, sign: 1 | -1): Limit | undefined {
  let strictest: Limit | undefined
  for (const keyword of [inclusive, exclusive]) {
    for (const { value, pointer } of valuesOf(parts, keyword)) {
      if (typeof value !== 'number' || !Number.isFinite(value)) throw new SchemaError(pointer, 'Must be a number.')
      const difference = strictest === undefined ? 1 : (value - strictest.value) * sign
      if (difference > 0 || (difference === 0 && keyword === exclusive)) strictest = { value, inclusive: keyword === inclusive, pointer }
    }
  }
  for (const { value, pointer } of valuesOf(parts, 'format')) {
    const bound = numberFormats.get(String(value))?.[inclusive]
    if (bound !== undefined && (strictest === undefined || (bound - strictest.value) * sign > 0)) strictest = { value: bound, inclusive: true, pointer }
  }
  return strictest
}

function multipleOf(parts: readonly Part[]): { value: number; pointer: string } | undefined {
  const [first, ...others] = valuesOf(parts, 'multipleOf')
  if (first === undefined) return undefined
  const { value, pointer } = first
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw new SchemaError(pointer, 'Only whole numbers from 1 are supported.')
  const other = others.find((found) => found.value !== value)
  if (other !== undefined) throw new SchemaError(other.pointer, 'Is not supported together with another multipleOf.')
  return { value, pointer }
}

/** The first or last whole number within a limit; undefined if there is no limit. */
function wholeLimit(found: Limit | undefined, round: (value: number) => number, sign: 1 | -1): number | undefined {
  if (found === undefined) return undefined
  const whole = round(found.value)
  const within = whole === found.value && !found.inclusive ? whole + sign : whole
  // Beyond these a reader's numbers have gaps.
  if (within * sign > Number.MAX_SAFE_INTEGER) throw new SchemaError(found.pointer, 'Is beyond the whole numbers that are exact in JSON.')
  return sign === 1 ? Math.max(within, Number.MIN_SAFE_INTEGER) : Math.min(within, Number.MAX_SAFE_INTEGER)
}

function integers(rules: Rules, min: number | undefined, max: number | undefined, { value, pointer }: { value: number; pointer: string }): string | undefined {
  const low = Math.ceil((min ?? Math.min(-largest, max ?? 0)) / value)
  const high = Math.floor((max ?? Math.max(largest, min ?? 0)) / value)
  if (low > high) return undefined
  const zeros = Math.round(Math.log10(value))
  if (10 ** zeros === value) return signedIntegers(BigInt(low), BigInt(high), zeros === 0 ? '' : `"${'0'.repeat(zeros)}"`)
  if (high - low >= maxListedMultiples) {
    throw new SchemaError(pointer, `Only 1, 10, 100 and so on are supported, or at most ${maxListedMultiples} multiples between minimum and maximum.`)
  }
  return choice(Array.from({ length: high - low + 1 }, (_, index) => jsonText(rules, (low + index) * value)))
}

function signedIntegers(low: bigint, high: bigint, suffix: string): string {
  const options: string[] = []
  const positive = integerRange(low > 1n ? low : 1n, high)
  if (positive !== undefined) options.push(`(${positive}) ${suffix}`)
  if (low <= 0n && high >= 0n) options.push('"0"')
  const negative = integerRange(high < -1n ? -high : 1n, -low)
  if (negative !== undefined) options.push(`"-" (${negative}) ${suffix}`)
  return choice(options)
}

function decimals(low: Limit | undefined, high: Limit | undefined): string | undefined {
  const bounds = [low, high].filter((bound) => bound !== undefined)
  const longest = Math.max(...bounds.map(({ value }) => toDecimal(value).integer.toString().length))
  // Of a number with more digits a reader might make another one, beyond the bound.
  const places = Math.max(0, significantDigits - longest)
  for (const { value, pointer } of bounds) {
    if (longest > significantDigits || toDecimal(value).fraction.length > places) throw new SchemaError(pointer, `Has more than ${significantDigits} digits.`)
  }
  const from: Limit = low ?? { value: Math.min(-largest, high?.value ?? 0), inclusive: true, pointer: '' }
  const to: Limit = high ?? { value: Math.max(largest, low?.value ?? 0), inclusive: true, pointer: '' }
  if (from.value > to.value || (from.value === to.value && !(from.inclusive && to.inclusive))) return undefined

  const zero: Bound = { integer: 0n, fraction: '', inclusive: true }
  const options: string[] = []
  const positive = to.value < 0 ? undefined : decimalRange(from.value >= 0 ? bound(from) : zero, bound(to), places)
  if (positive !== undefined) options.push(positive)
  // Zero is among the others.
  const negative = from.value >= 0 ? undefined : decimalRange(to.value < 0 ? bound(to) : { ...zero, inclusive: false }, bound(from), places)
  if (negative !== undefined) options.push(`"-" (${negative})`)
  return options.length === 0 ? undefined : choice(options)
}

function bound({ value, inclusive }: Limit): Bound {
  return { ...toDecimal(value), inclusive }
}
