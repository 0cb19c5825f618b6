/** Prices of a model, in whatever currency. */
export interface ModelPrice {
  readonly model: string
  /** A million input tokens that were not cached. */
  readonly input?: number
  /** A million that were cached; default: as others. */
  readonly cached?: number
  readonly output?: number
  /** A second of a worker's time. */
  readonly workerSecond?: number
}

export interface PricedUsage {
  inputTokens: number
  cachedTokens: number
  outputTokens: number
  workerUs: number
}

const million = 1_000_000

/** What it cost. */
export function costOf({ inputTokens, cachedTokens, outputTokens, workerUs }: PricedUsage, { input = 0, cached = input, output = 0, workerSecond = 0 }: ModelPrice): number {
  return ((inputTokens - cachedTokens) * input + cachedTokens * cached + outputTokens * output + workerUs * workerSecond) / million
}
