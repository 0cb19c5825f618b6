/** GBNF for the numbers between two bounds, digit by digit. */

/** Not negative. */
export interface Decimal {
  readonly integer: bigint
  /** Digits after the point, without zeros at the end. */
  readonly fraction: string
}

export interface Bound extends Decimal {
  /** Whether the bound itself is within. */
  readonly inclusive: boolean
}

/** The absolute value of a finite number, as it is written. */
export function toDecimal(number: number): Decimal {
  const [mantissa = '0', exponent = '0'] = Math.abs(number).toString().split('e')
  const [integer = '0', fraction = ''] = mantissa.split('.')
  const shift = Number(exponent)
  const digits = shift < 0 ? integer.padStart(1 - shift, '0') : integer
  const point = digits.length + Math.min(shift, 0)
  const moved = (shift < 0 ? digits.slice(point) : '') + fraction
  const before = shift < 0 ? digits.slice(0, point) : digits + moved.slice(0, shift).padEnd(shift, '0')
  const after = shift < 0 ? moved : moved.slice(shift)
  return { integer: BigInt(before), fraction: after.replace(/0+$/v, '') }
}

/** Whole numbers from low to high, neither negative; undefined if there are none. */
export function integerRange(low: bigint, high: bigint): string | undefined {
  const options: string[] = []
  for (let length = low.toString().length; length <= high.toString().length && low <= high; length++) {
    const shortest = length === 1 ? 0n : 10n ** BigInt(length - 1)
    const longest = 10n ** BigInt(length) - 1n
    const from = low > shortest ? low : shortest
    const to = high < longest ? high : longest
    if (from <= to) options.push(sameLength(from.toString(), to.toString()))
  }
  return options.length === 0 ? undefined : options.join(' | ')
}

function sameLength(low: string, high: string): string {
  const length = low.length
  if (length === 0) return ''
  const [a = '0', b = '0'] = [low[0], high[0]]
  const rest = length - 1
  if (/^0*$/v.test(low.slice(1)) && /^9*$/v.test(high.slice(1))) return `${digitRange(a, b)} ${anyDigits(rest, rest)}`
  if (a === b) return `"${a}" ${sameLength(low.slice(1), high.slice(1))}`
  const options = [`"${a}" ${sameLength(low.slice(1), '9'.repeat(rest))}`, `"${b}" ${sameLength('0'.repeat(rest), high.slice(1))}`]
  if (Number(b) - Number(a) > 1) options.push(`${digitRange(String(Number(a) + 1), String(Number(b) - 1))} ${anyDigits(rest, rest)}`)
  return `(${options.join(' | ')})`
}

/** Decimal numbers between the bounds, which are not negative, with at most `places` digits after the point. */
export function decimalRange(low: Bound, high: Bound, places: number): string | undefined {
  if (low.integer > high.integer) return undefined
  if (low.integer === high.integer) return withFraction(`"${low.integer}"`, between(low.fraction, low.inclusive, high.fraction, high.inclusive, places))
  const options = [
    withFraction(`"${low.integer}"`, atLeast(low.fraction, low.inclusive, places)),
    withFraction(`"${high.integer}"`, atMost(high.fraction, high.inclusive, places)),
  ]
  const whole = integerRange(low.integer + 1n, high.integer - 1n)
  if (whole !== undefined) options.push(withFraction(`(${whole})`, digitsUpTo(places)))
  const possible = options.filter((option) => option !== undefined)
  return possible.length === 0 ? undefined : possible.join(' | ')
}

/** Strings of digits: whether there may be none, and GBNF for those that are some. */
interface Digits {
  readonly none: boolean
  readonly some: string | undefined
}

function withFraction(integer: string, { none, some }: Digits): string | undefined {
  if (some === undefined) return none ? integer : undefined
  return none ? `${integer} ("." (${some}))?` : `${integer} "." (${some})`
}

/** Digits that as a fraction are at least so much. */
function atLeast(fraction: string, inclusive: boolean, places: number): Digits {
  const [first] = fraction
  if (first === undefined) return inclusive ? digitsUpTo(places) : aboveZero(places)
  return digits(false, [then(first, atLeast(fraction.slice(1), inclusive, places - 1)), from(Number(first) + 1, 9, places)])
}

function atMost(fraction: string, inclusive: boolean, places: number): Digits {
  const [first] = fraction
  if (first === undefined) return { none: inclusive, some: inclusive && places > 0 ? `"0"{1,${places}}` : undefined }
  return digits(true, [then(first, atMost(fraction.slice(1), inclusive, places - 1)), from(0, Number(first) - 1, places)])
}

function between(low: string, lowInclusive: boolean, high: string, highInclusive: boolean, places: number): Digits {
  if (low === '' && lowInclusive) return atMost(high, highInclusive, places)
  const [a = '0'] = low
  const [b] = high
  if (b === undefined || Number(a) > Number(b)) return { none: false, some: undefined }
  const restLow = low.slice(1)
  const restHigh = high.slice(1)
  if (a === b) return digits(false, [then(a, between(restLow, lowInclusive, restHigh, highInclusive, places - 1))])
  return digits(false, [
    then(a, atLeast(restLow, lowInclusive, places - 1)),
    from(Number(a) + 1, Number(b) - 1, places),
    then(b, atMost(restHigh, highInclusive, places - 1)),
  ])
}

function aboveZero(places: number): Digits {
  return { none: false, some: places > 0 ? `"0"{0,${places - 1}} [1-9] ${anyDigits(0, places - 1)}` : undefined }
}

function digitsUpTo(places: number): Digits {
  return { none: true, some: places > 0 ? anyDigits(1, places) : undefined }
}

function then(digit: string, { none, some }: Digits): string | undefined {
  if (some === undefined) return none ? `"${digit}"` : undefined
  return none ? `"${digit}" (${some})?` : `"${digit}" (${some})`
}

/** A digit from low to high, and any after it. */
function from(low: number, high: number, places: number): string | undefined {
  return low > high || places < 1 ? undefined : `${digitRange(String(low), String(high))} ${anyDigits(0, places - 1)}`
}

function digits(none: boolean, options: readonly (string | undefined)[]): Digits {
  const possible = options.filter((option) => option !== undefined)
  return { none, some: possible.length === 0 ? undefined : possible.join(' | ') }
}

function digitRange(low: string, high: string): string {
  return low === high ? `"${low}"` : `[${low}-${high}]`
}

function anyDigits(min: number, max: number): string {
  return max === 0 ? '' : `[0-9]{${min},${max}}`
}
