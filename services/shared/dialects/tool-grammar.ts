import { literal, type GrammarBuilder } from '../grammar/builder.ts'
import { SchemaError } from '../grammar/schema-error.ts'
import { afterReasoning, textOf, type AnswerGrammar, type ReasoningState } from './answer-grammar.ts'
import type { Dialect } from './dialect.ts'
import { textWithout } from './text-without.ts'
import type { CallForm, ToolMarkup } from './tool-markup.ts'

type RuleBuilder = Pick<GrammarBuilder, 'add' | 'schema' | 'jsonObject'>

export interface GrammarTool {
  name: string
  /** JSON Schema of the arguments; undefined: any object. */
  parameters: unknown
  /** Place of the schema in the request, for errors. */
  pointer: string
}

export interface ToolGrammarOptions {
  /** 'required' and 'named': the answer is one or more calls of the given tools. 'auto': what holds once a call is begun. */
  choice: 'auto' | 'required' | 'named'
  /** At most one call. */
  single: boolean
  reasoning: ReasoningState
  /** With 'auto': the rule that an answer keeps to when it is no call. */
  format?: string | undefined
}

/** Undefined where there is nothing to constrain: no tools, or no telling when the model begins a call. */
export function toolGrammar(
  builder: RuleBuilder,
  dialect: Dialect,
  tools: readonly GrammarTool[],
  { choice, single, reasoning, format }: ToolGrammarOptions,
): AnswerGrammar | undefined {
  const markup = dialect.tools
  if (markup === undefined || tools.length === 0) return undefined
  if (choice === 'auto' && format === undefined) {
    if (!markup.unmistakable) return undefined
    if (dialect.harmony) return harmonyTriggers(builder, tools)
  }
  const { trigger, rest } = dialect.harmony ? { trigger: '', rest: harmonyCall(builder, tools) } : callRules(builder, markup, tools, single)
  const calls = trigger === '' ? rest : `${literal(trigger)} ${rest}`
  if (choice !== 'auto') return afterReasoning(builder, dialect, calls, reasoning)
  if (format !== undefined) return afterReasoning(builder, dialect, `(${calls} | ${textOf(dialect, format)})`, reasoning)
  if (dialect.reasoning === undefined || reasoning === 'none') return { root: builder.add('calls', rest), after: [trigger] }
  // Reasoning may bring the trigger without calling anything, so the whole answer is told.
  const { before, partial } = textWithout(trigger)
  return afterReasoning(builder, dialect, `${before} ${partial} (${calls})?`, reasoning)
}

/** The text that begins all calls, and what follows it. */
function callRules(
  builder: RuleBuilder,
  markup: ToolMarkup,
  tools: readonly GrammarTool[],
  single: boolean,
): { trigger: string; rest: string } {
  const { calls, call, separator, form } = markup
  const list = form.kind === 'object' && form.list
  const one = builder.add('call', tools.map((tool) => callBody(builder, form, tool)).join(' | '))
  const opened = `${calls.begin}${call.begin}${list ? '[' : ''}`
  const trigger = (calls.begin.trim() === '' ? call.begin : calls.begin).trim()
  const between = list ? ', ' : separator === undefined ? undefined : `${call.end}${separator}${call.begin}`
  const more = single || between === undefined ? '' : `(${literal(between)} ${one})*`
  const parts = [text(opened.slice(trigger.length)), one, more, text(`${call.end}${list ? ']' : ''}${calls.end}`)]
  return { trigger, rest: parts.filter((part) => part !== '').join(' ') }
}

function text(value: string): string {
  return value === '' ? '' : literal(value)
}

function callBody(builder: RuleBuilder, form: CallForm, tool: GrammarTool): string {
  const json = argumentsRule(builder, tool)
  if (form.kind === 'object') return `${literal(`{"name": ${JSON.stringify(tool.name)}, "${form.argumentsKey}": `)} ${json} "}"`
  if (form.kind === 'unquoted') return `${literal(form.prefix + tool.name)} ${json}`
  return [literal(form.prefix + tool.name + form.between), json, text(form.after)].filter((part) => part !== '').join(' ')
}

/** The rule of a tool's arguments: an object, even where its schema doesn't say so. Throws SchemaError for one that can't be honoured. */
export function argumentsRule(builder: RuleBuilder, { parameters, pointer }: GrammarTool): string {
  if (typeof parameters !== 'object' || parameters === null || Object.keys(parameters).length === 0) return builder.jsonObject()
  if (['$ref', 'anyOf', 'oneOf', 'allOf', 'enum', 'const'].some((keyword) => keyword in parameters)) return builder.schema(parameters, pointer)
  if ('type' in parameters && ![parameters.type].flat().includes('object')) {
    throw new SchemaError(`${pointer}/type`, 'The arguments of a tool are an object: its schema must be of type "object".')
  }
  return builder.schema({ ...parameters, type: 'object' }, pointer)
}

const harmonyJson = literal(' <|constrain|>json')

/** One call: "<|call|>" ends the answer. */
function harmonyCall(builder: RuleBuilder, tools: readonly GrammarTool[]): string {
  const calls = tools.map((tool) => {
    const header = literal(`<|channel|>commentary to=functions.${tool.name}`)
    return `${header} ${harmonyJson} ${literal('<|message|>')} ${argumentsRule(builder, tool)}`
  })
  return builder.add('call', calls.join(' | '))
}

/** The ways to begin a call in harmony, and what follows them all. */
function harmonyTriggers(builder: RuleBuilder, tools: readonly GrammarTool[]): AnswerGrammar {
  const channel = `${literal('<|channel|>commentary')} (${literal(' json')} | ${harmonyJson})?`
  const header = `(${harmonyJson} | ${channel})? ${literal('<|message|>')}`
  const calls = tools.map((tool) => `${literal(tool.name)} ${header} ${argumentsRule(builder, tool)}`)
  const after = ['<|channel|>commentary', '<|channel|>analysis', '<|start|>assistant'].map((begin) => `${begin} to=functions.`)
  return { root: builder.add('call', calls.join(' | ')), after }
}
