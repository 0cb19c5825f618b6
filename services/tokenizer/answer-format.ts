import { type Conversation, type OutputFormat, type PrepareResponse, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { type AnswerGrammar, formatGrammar, type ReasoningState } from '../shared/dialects/answer-grammar.ts'
import type { Dialect } from '../shared/dialects/dialect.ts'
import { argumentsRule, type GrammarTool, toolGrammar } from '../shared/dialects/tool-grammar.ts'
import { ServiceError } from '../shared/errors.ts'
import { createAutomaton } from '../shared/grammar/automaton.ts'
import { createGrammarBuilder, type GrammarBuilder } from '../shared/grammar/builder.ts'
import { GrammarError } from '../shared/grammar/expression.ts'
import { SchemaError } from '../shared/grammar/schema-error.ts'
import type { ParsedTool } from './conversation.ts'

type GrammarFields = Pick<PrepareResponse, 'grammar' | 'grammarAfter'>

const unconstrained: GrammarFields = { grammar: '', grammarAfter: [] }

/** What the answer to a text or to tokens must be. Throws INVALID_ARGUMENT unsupported_schema, invalid_grammar. */
export function textFormat(format: OutputFormat | undefined): GrammarFields {
  if (format?.format === undefined) return unconstrained
  const builder = createGrammarBuilder()
  const { rule, rules } = formatRule(builder, format)
  return { grammar: builder.build(rule) + rules, grammarAfter: [] }
}

export interface AnswerFormatOptions {
  conversation: Conversation
  /** Those that may be called. */
  tools: readonly ParsedTool[]
  format: OutputFormat | undefined
  dialect: Dialect
  reasoning: ReasoningState
}

/**
 * What the answer to a conversation must be: a format, calls of tools, or either. A format holds for the text after the reasoning; where
 * tools may be called too, an answer keeps to the format or calls. Throws INVALID_ARGUMENT unsupported_schema, invalid_grammar,
 * unsupported_parameter.
 */
export function answerFormat({ conversation, tools, format, dialect, reasoning }: AnswerFormatOptions): GrammarFields {
  const { toolChoice, toolName, singleToolCall: single } = conversation
  const choice = toolChoice === ToolChoice.NAMED ? 'named' : toolChoice === ToolChoice.REQUIRED ? 'required' : 'auto'
  const builder = createGrammarBuilder()
  const wanted = format?.format === undefined ? undefined : format
  if (wanted !== undefined && choice !== 'auto') {
    throw unsupported(wanted.param, `'${wanted.param}' can't be kept to where a call is demanded. Leave it out, or let the tool choice be "auto".`)
  }
  const text = wanted === undefined ? undefined : formatRule(builder, wanted)
  let answer: AnswerGrammar | undefined
  if (tools.length > 0) {
    const callable = tools.filter(({ name }) => choice !== 'named' || name === toolName).map((tool) => grammarTool(tool, choice !== 'auto'))
    answer = toolGrammar(builder, dialect, callable, { choice, single, reasoning, format: text?.rule })
    if (answer === undefined && choice !== 'auto') throw unsupported('tool_choice', "Calls can't be demanded of this model. Let the tool choice be \"auto\".")
  }
  if (answer === undefined && text !== undefined) answer = formatGrammar(builder, dialect, text.rule, reasoning)
  if (answer === undefined) return unconstrained
  return { grammar: builder.build(answer.root) + (text?.rules ?? ''), grammarAfter: [...answer.after] }
}

/** A schema that can't be kept to is a refusal where calls are demanded or strict; else it is told to the model only. */
function grammarTool({ name, parameters, strict, param }: ParsedTool, forced: boolean): GrammarTool {
  const tool = { name, parameters, pointer: '' }
  if (parameters === undefined) return tool
  try {
    argumentsRule(createGrammarBuilder(), tool)
    return tool
  } catch (thrown) {
    if (!(thrown instanceof SchemaError)) throw thrown
    if (forced || strict) throw schemaRefusal(thrown, param)
    return { ...tool, parameters: undefined }
  }
}

/** Name of the rule that a text of the format is, and rules that are not the builder's. */
function formatRule(builder: GrammarBuilder, { format, param }: OutputFormat): { rule: string; rules: string } {
  if (format?.$case === 'grammar') {
    checkGrammar(format.value, param)
    return { rule: 'client-root', rules: `${prefixed(format.value)}\n` }
  }
  if (format?.$case !== 'jsonSchema') return { rule: builder.jsonObject(), rules: '' }
  try {
    return { rule: builder.schema(JSON.parse(format.value), ''), rules: '' }
  } catch (thrown) {
    throw thrown instanceof SchemaError ? schemaRefusal(thrown, param) : thrown
  }
}

/** The grammar with each of its rules under another name, so that it can stand beside ours. What is checked is valid GBNF. */
function prefixed(grammar: string): string {
  return grammar.replaceAll(/"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*|\{[^}]*\}|[a-zA-Z0-9-]+/g, (token) => (/^[a-zA-Z0-9-]/.test(token) ? `client-${token}` : token))
}

function checkGrammar(grammar: string, param: string): void {
  try {
    createAutomaton(grammar)
  } catch (thrown) {
    if (!(thrown instanceof GrammarError)) throw thrown
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_grammar', `'${param}' is not a grammar that can be used: ${thrown.message}`, { param })
  }
}

function schemaRefusal({ message }: SchemaError, param: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'unsupported_schema', `'${param}' demands what can't be guaranteed. ${message}`, { param })
}

function unsupported(param: string, message: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'unsupported_parameter', message, { param })
}
