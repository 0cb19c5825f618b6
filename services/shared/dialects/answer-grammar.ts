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
  // The reasoning is part of the grammar, and not just waited for: an answer must not end inside it.
  const { before, partial } = textWithout(end)
  const rest = `${before} ${partial} ${literal(end)} ${gap}`
  const begun = state === 'open' ? rest : `(${literal(reasoning.begin.trim())} ${rest})?`
  return { root: builder.add('answer', `${begun} ${body}`), after: [] }
}
