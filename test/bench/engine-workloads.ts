/** What is asked of a server. Tokens are ids of the model's vocabulary. */
export interface Workload {
  name: WorkloadName
  /** Tokens of a conversation's first prompt, and those that come to it with each further turn, its answer aside. */
  promptTokens: number
  turnTokens: number
  turns: number
  answerTokens: number
  /** Conversations that each client has, one after the other. */
  conversations: number
}

export type WorkloadName = 'short' | 'long' | 'chat'

export const workloads: readonly Workload[] = [
  { name: 'short', promptTokens: 30, turnTokens: 0, turns: 1, answerTokens: 64, conversations: 3 },
  { name: 'long', promptTokens: 1500, turnTokens: 0, turns: 1, answerTokens: 32, conversations: 1 },
  { name: 'chat', promptTokens: 200, turnTokens: 60, turns: 5, answerTokens: 32, conversations: 1 },
]

/** What is small enough for every pull request: each kind once. */
export const quickWorkloads: readonly Workload[] = [
  { name: 'short', promptTokens: 30, turnTokens: 0, turns: 1, answerTokens: 24, conversations: 1 },
  { name: 'chat', promptTokens: 60, turnTokens: 20, turns: 3, answerTokens: 8, conversations: 1 },
]

/** The longest prompt and answer together. */
export function contextNeeded({ promptTokens, turnTokens, turns, answerTokens }: Workload): number {
  return promptTokens + (turns - 1) * (turnTokens + answerTokens) + answerTokens
}

/**
 * So many tokens of a text, from a place that is another one for each number, so that no two prompts begin alike: a server that keeps
 * what it has evaluated could else reuse it where nothing of it is meant to be.
 */
export function excerpt(text: readonly number[], number: number, count: number): number[] {
  const start = (number * 7919) % text.length
  return Array.from({ length: count }, (_, index) => text[(start + index) % text.length] ?? 0)
}
