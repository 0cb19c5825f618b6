import { literal, type GrammarBuilder } from '../grammar/builder.ts'
import type { Dialect } from './dialect.ts'
import { textWithout } from './text-without.ts'

/** The prompt ends inside the reasoning, the answer may begin with one, or there is none. */
export type ReasoningState = 'open' | 'possible' | 'none'

export interface AnswerGrammar {
  /** Name of the rule that the answer keeps to, */
  root: string
  /** from the end of the first of these texts; from the beginning where there are none. */
  after: readonly string[]
}

/** The answer's text, after the reasoning, keeps to the rule (or body of one) `format`. */
export function formatGrammar(
  builder: Pick<GrammarBuilder, 'add'>,
  dialect: Dialect,
  format: string,
  reasoning: ReasoningState,
): AnswerGrammar {
  return afterReasoning(builder, dialect, textOf(dialect, format), reasoning)
}

/** What a dialect writes where the answer's text is `format`. */
export function textOf({ harmony }: Dialect, format: string): string {
  if (!harmony) return `(${format})`
  return `${literal('<|channel|>final')} ${literal(' <|constrain|>json')}? ${literal('<|message|>')} (${format})`
}

/** The answer is `body` after the reasoning. */
export function afterReasoning(
  builder: Pick<GrammarBuilder, 'add'>,
  { reasoning, harmony }: Dialect,
  body: string,
  state: ReasoningState,
): AnswerGrammar {
  if (reasoning === undefined || state === 'none') return { root: builder.add('answer', body), after: [] }
  const end = reasoning.end.trim()
  // Models leave an empty line after their reasoning.
  const gap = harmony ? literal('<|start|>assistant') : '"\\n"? "\\n"?'
  if (state === 'open') return { root: builder.add('answer', `${gap} ${body}`), after: [end] }
  const { before, partial } = textWithout(end)
  const whole = `${literal(reasoning.begin.trim())} ${before} ${partial} ${literal(end)} ${gap}`
  return { root: builder.add('answer', `(${whole})? ${body}`), after: [] }
}
