/** Sets of texts as deterministic automata over characters, which can be combined: what several patterns have in common. */
import { anyCharacter, intersectRanges, normaliseRanges } from './code-points.ts'
import type { CodePointRange } from './expression.ts'
import { anchoredAlternatives, type Item } from './pattern-items.ts'
import { type Regex, RegexError } from './regex.ts'

export interface Language {
  /** By state; the first is where a text begins. Characters without an edge lead nowhere. */
  readonly states: readonly LanguageState[]
}

export interface LanguageState {
  readonly accepts: boolean
  readonly edges: readonly LanguageEdge[]
}

export interface LanguageEdge extends CodePointRange {
  readonly target: number
}

/** Of an automaton; more than these would make a grammar that is too large. */
const maxStates = 3000
const maxSteps = 20_000

/** Bounds what the patterns of one schema cost. */
export interface Work {
  left: number
}

export function createWork(): Work {
  return { left: 5_000_000 }
}

function spend(work: Work, units: number): void {
  work.left -= units
  if (work.left < 0) throw tooComplex()
}

/** The texts that a pattern matches somewhere. Throws RegexError. */
export function languageOf(regex: Regex, work: Work): Language {
  const alternatives = anchoredAlternatives(regex)
  const plain = alternatives.filter(({ looks }) => looks.length === 0).map(({ items }) => items)
  const looking = alternatives.filter(({ looks }) => looks.length > 0)
  const languages = plain.length > 0 ? [determinise(plain, work)] : []
  for (const { items, looks } of looking) {
    let language = determinise([items], work)
    for (const { body, negative } of looks) {
      // What is looked at begins the text, and anything may follow it.
      const seen = languageOf(fromStart(body), work)
      language = combine(language, seen, (a, b) => a && b !== negative, work)
    }
    languages.push(language)
  }
  return languages.reduce((a, b) => combine(a, b, (inA, inB) => inA || inB, work))
}

/** The same, only at the beginning of a text. */
function fromStart(regex: Regex): Regex {
  if (regex.kind === 'choice') return { kind: 'choice', options: regex.options.map(fromStart) }
  return { kind: 'sequence', items: [{ kind: 'start' }, ...(regex.kind === 'sequence' ? regex.items : [regex])] }
}

/** The texts of so many characters. Throws RegexError. */
export function languageOfLength(min: number, max: number, work: Work): Language {
  return determinise([[{ kind: 'repeat', body: { kind: 'set', ranges: anyCharacter }, min, max }]], work)
}

/** The texts for which `accepts` says so, told whether each language has them. Throws RegexError. */
export function combine(a: Language, b: Language, accepts: (inA: boolean, inB: boolean) => boolean, work: Work): Language {
  const numbers = new Map<string, number>()
  const pairs: (readonly [LanguageState | undefined, LanguageState | undefined])[] = []
  const number = (left: number | undefined, right: number | undefined): number => {
    const name = `${left ?? ''},${right ?? ''}`
    const known = numbers.get(name)
    if (known !== undefined) return known
    if (pairs.length >= maxStates) throw tooComplex()
    numbers.set(name, pairs.length)
    return pairs.push([left === undefined ? undefined : a.states[left], right === undefined ? undefined : b.states[right]]) - 1
  }
  number(0, 0)
  const states: LanguageState[] = []
  for (const [left, right] of pairs) {
    const edges: LanguageEdge[] = []
    const count = (left?.edges.length ?? 0) + (right?.edges.length ?? 0)
    spend(work, count * count)
    for (const range of splitRanges([...(left?.edges ?? []), ...(right?.edges ?? [])])) {
      edges.push({ ...range, target: number(targetOf(left, range.low), targetOf(right, range.low)) })
    }
    states.push({ accepts: accepts(left?.accepts ?? false, right?.accepts ?? false), edges })
  }
  return trim(states)
}

function targetOf(state: LanguageState | undefined, character: number): number | undefined {
  return state?.edges.find(({ low, high }) => character >= low && character <= high)?.target
}

/** Ranges that cover the same characters, and each of which is within or without each of the given. */
function splitRanges(ranges: readonly CodePointRange[]): CodePointRange[] {
  const begins = [...new Set(ranges.flatMap(({ low, high }) => [low, high + 1]))].sort((a, b) => a - b)
  const parts = begins.map((low, index) => ({ low, high: (begins[index + 1] ?? low + 1) - 1 }))
  return intersectRanges(parts, normaliseRanges(ranges))
}

/** Without the states from which no text ends. */
function trim(states: readonly LanguageState[]): Language {
  const before: number[][] = states.map(() => [])
  for (const [index, { edges }] of states.entries()) for (const { target } of edges) before[target]?.push(index)
  const useful = new Set<number>()
  const pending = [...states.keys()].filter((index) => states[index]?.accepts)
  for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
    if (useful.has(index)) continue
    useful.add(index)
    pending.push(...(before[index] ?? []))
  }
  if (!useful.has(0)) return { states: [{ accepts: false, edges: [] }] }
  const kept = [...states.keys()].filter((index) => useful.has(index))
  const numbers = new Map(kept.map((index, number) => [index, number]))
  return {
    states: kept.map((index) => ({
      accepts: states[index]?.accepts ?? false,
      edges: (states[index]?.edges ?? []).flatMap(({ low, high, target }) => {
        const number = numbers.get(target)
        return number === undefined ? [] : [{ low, high, target: number }]
      }),
    })),
  }
}

/** A state that may be in several places at once. */
interface Step {
  readonly ranges: readonly CodePointRange[]
  readonly next: number[]
}

/** The texts that one of the sequences reads. */
function determinise(sequences: readonly (readonly Item[])[], work: Work): Language {
  const steps: Step[] = []
  const add = (ranges: readonly CodePointRange[], next: number[]): number => {
    if (steps.length >= maxSteps) throw tooComplex()
    return steps.push({ ranges, next }) - 1
  }
  const end = add([], [])
  /** The steps from which the item is read before one of `next`. */
  const build = (item: Item, next: readonly number[]): number[] => {
    spend(work, next.length + 1)
    switch (item.kind) {
      case 'any':
        return [add(anyCharacter, [...next])]
      case 'set':
        return [add(item.ranges, [...next])]
      case 'sequence':
        return buildSequence(item.items, next)
      case 'choice':
        return [...new Set(item.options.flatMap((option) => build(option, next)))]
      case 'repeat': {
        let from = [...next]
        if (item.max === Number.POSITIVE_INFINITY) {
          // A step of its own that reads nothing, so that the body can lead back to it.
          const loop = add([], from)
          from.push(...build(item.body, [loop]))
          from = [loop]
        } else for (let count = item.min; count < item.max; count++) from = [...new Set([...build(item.body, from), ...next])]
        for (let count = 0; count < item.min; count++) from = build(item.body, from)
        return from
      }
      default:
        throw new RegexError('Look-aheads and anchors are only supported at the beginning or end of a pattern or alternative.')
    }
  }
  const buildSequence = (items: readonly Item[], next: readonly number[]): number[] => {
    let following = [...next]
    for (const part of [...items].reverse()) following = build(part, following)
    return following
  }
  const start = sequences.flatMap((items) => buildSequence(items, [end]))
  return subsets(steps, start, end, work)
}

function subsets(steps: readonly Step[], start: readonly number[], end: number, work: Work): Language {
  const numbers = new Map<string, number>()
  const sets: number[][] = []
  const number = (places: readonly number[]): number => {
    const closed = new Set<number>()
    const pending = [...places]
    for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
      if (closed.has(place)) continue
      closed.add(place)
      const step = steps[place]
      if (place !== end && step?.ranges.length === 0) pending.push(...step.next)
    }
    spend(work, closed.size)
    const set = [...closed].sort((a, b) => a - b)
    const name = set.join(',')
    const known = numbers.get(name)
    if (known !== undefined) return known
    if (sets.length >= maxStates) throw tooComplex()
    numbers.set(name, sets.length)
    return sets.push(set) - 1
  }
  number(start)
  const states: LanguageState[] = []
  for (const set of sets) {
    const reading = set.flatMap((place) => steps[place] ?? [])
    const parts = splitRanges(reading.flatMap(({ ranges }) => ranges))
    spend(work, parts.length * reading.length)
    const edges = parts.map(({ low, high }) => {
      const reached = reading.filter(({ ranges }) => ranges.some((range) => low >= range.low && low <= range.high))
      return { low, high, target: number(reached.flatMap(({ next }) => next)) }
    })
    states.push({ accepts: set.includes(end), edges })
  }
  return trim(states)
}

function tooComplex(): RegexError {
  return new RegexError('The pattern, or what it has in common with the format, the lengths and other patterns, is too complex.')
}
