import type { Constraint } from './constraint/constraint.ts'
import type { TokenGuide } from './engines/engine.ts'
import type { ReasoningBudget } from './reasoning-budget.ts'

/** What a request has to say about the tokens of its answer. */
export interface AnswerGuide extends TokenGuide {
  /** A token has come that does not end the answer, with its text. */
  push(token: number, bytes: Uint8Array): void
}

/** Undefined when it has nothing to say. */
export function createAnswerGuide(constraint: Constraint | undefined, budget: ReasoningBudget | undefined): AnswerGuide | undefined {
  if (constraint === undefined && budget === undefined) return undefined
  return {
    forced: () => budget?.forced(),
    allows: (token) => constraint?.allows(token) ?? true,
    forbidden() {
      if (constraint === undefined) throw new Error('nothing is forbidden')
      return constraint.forbidden()
    },
    push(token, bytes) {
      constraint?.accept(token)
      budget?.push(bytes)
    },
  }
}
