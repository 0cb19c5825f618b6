/** A pattern's alternatives, with what may come before and after them. */
import { type Regex, RegexError } from './regex.ts'

/** Any character, in any spelling. */
interface AnyCharacter {
  readonly kind: 'any'
}

export type Item = Regex | AnyCharacter | { readonly kind: 'repeat'; readonly body: AnyCharacter; readonly min: number; readonly max: number }

export interface Alternative {
  readonly items: readonly Item[]
  /** What the beginning of the text must or must not look like. */
  readonly looks: readonly (Regex & { readonly kind: 'look' })[]
}

/** Throws RegexError. */
export function anchoredAlternatives(regex: Regex): Alternative[] {
  return alternatives(regex).map(anchored)
}

function alternatives(regex: Regex): Regex[][] {
  if (regex.kind === 'choice') return regex.options.flatMap(alternatives)
  if (regex.kind !== 'sequence') return [[regex]]
  const [only] = regex.items
  return regex.items.length === 1 && only !== undefined ? alternatives(only) : [[...regex.items]]
}

/** What is not tied to the beginning or the end of the text may have anything there. */
function anchored(items: readonly Regex[]): Alternative {
  const anything: Item = { kind: 'repeat', body: { kind: 'any' }, min: 0, max: Number.POSITIVE_INFINITY }
  let from = 0
  let to = items.length
  const looks: Alternative['looks'][number][] = []
  for (let item = items[from]; item?.kind === 'start' || item?.kind === 'look'; item = items[++from]) if (item.kind === 'look') looks.push(item)
  const tied = items.slice(0, from).some(({ kind }) => kind === 'start')
  if (looks.length > 0 && !tied) throw new RegexError('A look-ahead is only supported after a "^" at the beginning.')
  while (to > from && items[to - 1]?.kind === 'end') to--
  const inner: Item[] = items.slice(from, to)
  if (!tied) inner.unshift(anything)
  if (to === items.length) inner.push(anything)
  return { items: inner, looks }
}
