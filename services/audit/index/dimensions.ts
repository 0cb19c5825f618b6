/** What requests can be searched by. Their order is part of what is stored. */
export const dimensions = ['team', 'keyId', 'subject', 'model', 'endpoint', 'outcome', 'error'] as const
export type Dimension = (typeof dimensions)[number]

/** Outcome of a request whose end is not recorded. */
export const openOutcome = 'open'

/** The number of a name in a dimension, as postings have it. */
export function termOf(dimension: Dimension, name: number): number {
  return name * 16 + numbers[dimension]
}

const numbers = Object.fromEntries(dimensions.map((dimension, number) => [dimension, number])) as Record<Dimension, number>
