import type { GenerateRequest, Sampling } from '../../proto/gen/intramuros/v1/inference.ts'

/** Greedy, with nothing else on. */
export const greedy: Sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repeatPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  penaltyWindow: 64,
  logitBias: {},
}

/** A request to a worker with as little in it as one may have; sampling fields may be named beside the others. */
export function generateRequest(fields: Partial<Omit<GenerateRequest, 'sampling'>> & Partial<Sampling> = {}): GenerateRequest {
  const request = {
    model: 'scripted',
    team: 'default',
    tokens: [1, 2, 3],
    maxTokens: 100,
    stop: [],
    stopUntil: [],
    constraint: undefined,
    visibleTokens: [],
    reasoningBudget: undefined,
    topLogprobs: undefined,
    weight: 0,
    batch: false,
  }
  return { ...request, ...only(fields, Object.keys(request)), sampling: { ...greedy, ...only(fields, [...Object.keys(greedy), 'seed']) } }
}

function only<T extends object>(fields: T, names: readonly string[]): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name))) as Partial<T>
}
