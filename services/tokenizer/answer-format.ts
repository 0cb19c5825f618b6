import { type Conversation, type OutputFormat, type PrepareResponse, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { type AnswerGrammar, formatGrammar, type ReasoningState } from '../shared/dialects/answer-grammar.ts'
import type { Dialect } from '../shared/dialects/dialect.ts'
import { argumentsRule, type GrammarTool, toolGrammar } from '../shared/dialects/tool-grammar.ts'
import { ServiceError } from '../shared/errors.ts'
import { createAutomaton } from '../shared/grammar/automaton.ts'
import { createGrammarBuilder, type GrammarBuilder } from '../shared/grammar/builder.ts'
import { GrammarError } from '../shared/grammar/expression.ts'
import { maxGrammarBytes } from '../shared/grammar/gbnf.ts'
import { SchemaError } from '../shared/grammar/schema-error.ts'
import { createSchemaWork, type SchemaWork } from '../shared/grammar/schema-work.ts'
import type { ParsedTool } from './conversation.ts'

type GrammarFields = Pick<PrepareResponse, 'grammar' | 'grammarAfter'>

const unconstrained: GrammarFields = { grammar: '', grammarAfter: [] }

/** What the answer to a text or to tokens must be. Throws INVALID_ARGUMENT unsupported_schema, invalid_grammar. */
export function textFormat(format: OutputFormat | undefined): GrammarFields {
  if (format?.format === undefined) return unconstrained
  const builder = createGrammarBuilder()
  const { rule, rules } = formatRule(builder, format)
  const fields = { grammar: builder.build(rule) + rules, grammarAfter: [] }
  if (!fits(fields)) throw tooLarge(format)
  return fields
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
export function answerFormat(options: AnswerFormatOptions): GrammarFields {
  const work = createSchemaWork()
  const { conversation, tools, format } = options
  const choice = choiceOf(conversation)
  const wanted = format?.format === undefined ? undefined : format
  if (wanted !== undefined && choice !== 'auto') {
    throw unsupported(wanted.param, `'${wanted.param}' can't be kept to where a call is demanded. Leave it out, or let the tool choice be "auto".`)
  }
  const callable = tools.filter(({ name }) => choice !== 'named' || name === conversation.toolName)
  const isBound = ({ strict }: ParsedTool): boolean => strict || choice !== 'auto'
  const bound = callable.filter(isBound)
  if (schemaLength(callable) <= maxGrammarBytes) {
    const fields = grammarFields(options, work, choice, callable.map((tool) => grammarTool(tool, isBound(tool), work)), wanted)
    if (fits(fields)) return fields
  }
  // Together they are too large. The model is told of all schemas, so those that need not be kept to can be left to it.
  if (schemaLength(bound) > maxGrammarBytes) throw tooLarge(undefined)
  const least = callable.map((tool) => (isBound(tool) ? grammarTool(tool, true, work) : anyArguments(tool)))
  const fields = grammarFields(options, work, choice, least, wanted)
  if (!fits(fields)) throw tooLarge(bound.length > 0 ? undefined : wanted)
  return fields
}

type Choice = 'auto' | 'required' | 'named'

function choiceOf({ toolChoice }: Conversation): Choice {
  if (toolChoice === ToolChoice.NAMED) return 'named'
  return toolChoice === ToolChoice.REQUIRED ? 'required' : 'auto'
}

function grammarFields({ conversation, dialect, reasoning }: AnswerFormatOptions, work: SchemaWork, choice: Choice, tools: readonly GrammarTool[], format: OutputFormat | undefined): GrammarFields {
  const builder = createGrammarBuilder(work)
  const text = format === undefined ? undefined : formatRule(builder, format)
  let answer: AnswerGrammar | undefined
  if (tools.length > 0) {
    answer = toolGrammar(builder, dialect, tools, { choice, single: conversation.singleToolCall, reasoning, format: text?.rule })
    if (answer === undefined && choice !== 'auto') throw unsupported('tool_choice', "Calls can't be demanded of this model. Let the tool choice be \"auto\".")
  }
  if (answer === undefined && text !== undefined) answer = formatGrammar(builder, dialect, text.rule, reasoning)
  if (answer === undefined) return unconstrained
  return { grammar: builder.build(answer.root) + (text?.rules ?? ''), grammarAfter: [...answer.after] }
}

/** A schema that can't be kept to is a refusal where it must be; else it is told to the model only. */
function grammarTool(tool: ParsedTool, isBound: boolean, work: SchemaWork): GrammarTool {
  const { name, parameters, param } = tool
  // As OpenAI has it: a function without parameters takes none.
  if (parameters === undefined) return { name, parameters: { type: 'object', additionalProperties: false }, pointer: '' }
  try {
    argumentsRule(createGrammarBuilder(work), { name, parameters, pointer: '' })
    return { name, parameters, pointer: '' }
  } catch (thrown) {
    if (!(thrown instanceof SchemaError)) throw thrown
    if (isBound) throw schemaRefusal(thrown, param)
    return anyArguments(tool)
  }
}

function anyArguments({ name }: ParsedTool): GrammarTool {
  return { name, parameters: undefined, pointer: '' }
}

/** No grammar is made of more than a grammar may have itself. */
function schemaLength(tools: readonly ParsedTool[]): number {
  return tools.reduce((length, { parameters }) => length + (parameters === undefined ? 0 : JSON.stringify(parameters).length), 0)
}

/** What a worker takes. */
function fits({ grammar }: GrammarFields): boolean {
  return Buffer.byteLength(grammar) <= maxGrammarBytes
}

/** `format` is undefined where it is the tools. */
function tooLarge(format: OutputFormat | undefined): ServiceError {
  const param = format?.param ?? 'tools'
  const reason = format?.format?.$case === 'grammar' ? 'invalid_grammar' : 'unsupported_schema'
  const what = format === undefined ? 'the schemas of the tools are together' : 'it is'
  return new ServiceError('INVALID_ARGUMENT', reason, `'${param}' demands what can't be guaranteed: ${what} too large. A grammar may have ${maxGrammarBytes} bytes.`, { param })
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
    if (thrown instanceof SyntaxError) throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', `'${param}' is not valid JSON.`, { param })
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
