import type { CodePointRange } from './expression.ts'

const lastCodePoint = 0x10_ffff
const firstSurrogate = 0xd800
const lastSurrogate = 0xdfff

export function isScalarValue(codePoint: number): boolean {
  return codePoint <= lastCodePoint && (codePoint < firstSurrogate || codePoint > lastSurrogate)
}

/** Every character but NUL, which no grammar means and many programs can't store. */
export const anyCharacter: readonly CodePointRange[] = [
  { low: 1, high: firstSurrogate - 1 },
  { low: lastSurrogate + 1, high: lastCodePoint },
]

/** In order, without overlaps. */
export function normaliseRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  const merged: { low: number; high: number }[] = []
  for (const { low, high } of [...ranges].sort((a, b) => a.low - b.low)) {
    const last = merged.at(-1)
    if (last !== undefined && low <= last.high + 1) last.high = Math.max(last.high, high)
    else merged.push({ low, high })
  }
  return merged
}

/** All characters that are in none of the ranges. */
export function invertRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  return intersectRanges(complement(normaliseRanges(ranges)), anyCharacter)
}

/** Both must be in order, without overlaps. */
export function intersectRanges(a: readonly CodePointRange[], b: readonly CodePointRange[]): CodePointRange[] {
  const common: CodePointRange[] = []
  let i = 0
  let j = 0
  for (let left = a[i], right = b[j]; left !== undefined && right !== undefined; left = a[i], right = b[j]) {
    const low = Math.max(left.low, right.low)
    const high = Math.min(left.high, right.high)
    if (low <= high) common.push({ low, high })
    if (left.high < right.high) i++
    else j++
  }
  return common
}

function complement(ranges: readonly CodePointRange[]): CodePointRange[] {
  const rest: CodePointRange[] = []
  let next = 0
  for (const { low, high } of ranges) {
    if (low > next) rest.push({ low: next, high: low - 1 })
    next = high + 1
  }
  if (next <= lastCodePoint) rest.push({ low: next, high: lastCodePoint })
  return rest
}

export interface ByteRange {
  readonly low: number
  readonly high: number
}

/** The UTF-8 spellings of the characters: each entry is one range for each byte. Surrogates have none. */
export function utf8Sequences(ranges: readonly CodePointRange[]): ByteRange[][] {
  const sequences: ByteRange[][] = []
  for (const range of ranges) {
    for (const { low, high } of sameLength) {
      const from = Math.max(low, range.low)
      const to = Math.min(high, range.high)
      if (from <= to) splitSequences(from, to, sequences)
    }
  }
  return sequences
}

const sameLength: readonly CodePointRange[] = [
  { low: 0, high: 0x7f },
  { low: 0x80, high: 0x7ff },
  { low: 0x800, high: firstSurrogate - 1 },
  { low: lastSurrogate + 1, high: 0xffff },
  { low: 0x1_0000, high: lastCodePoint },
]

/** Splits a range whose ends have equally many bytes until all combinations of its bytes' ranges are in it. */
function splitSequences(low: number, high: number, into: ByteRange[][]): void {
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = 2 ** bits - 1
    if (Math.floor(low / (mask + 1)) === Math.floor(high / (mask + 1))) break
    if ((low & mask) !== 0) {
      splitSequences(low, low | mask, into)
      splitSequences((low | mask) + 1, high, into)
      return
    }
    if ((high & mask) !== mask) {
      splitSequences(low, high - (high & mask) - 1, into)
      splitSequences(high - (high & mask), high, into)
      return
    }
  }
  const lows = encode(low)
  const highs = encode(high)
  into.push(lows.map((byte, index) => ({ low: byte, high: highs[index] ?? byte })))
}

function encode(codePoint: number): number[] {
  if (codePoint < 0x80) return [codePoint]
  const tail = 0x80 | (codePoint & 0x3f)
  if (codePoint < 0x800) return [0xc0 | (codePoint >> 6), tail]
  const middle = 0x80 | ((codePoint >> 6) & 0x3f)
  if (codePoint < 0x1_0000) return [0xe0 | (codePoint >> 12), middle, tail]
  return [0xf0 | (codePoint >> 18), 0x80 | ((codePoint >> 12) & 0x3f), middle, tail]
}
