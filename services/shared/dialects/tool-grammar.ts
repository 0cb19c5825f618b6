import { literal, type GrammarBuilder } from '../grammar/builder.ts'
import type { CallForm, Dialect, ToolMarkup } from './dialect.ts'
import { textWithout } from './text-without.ts'

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
  /** The prompt ends inside the reasoning, the answer may begin with one, or there is none. */
  reasoning: 'open' | 'possible' | 'none'
}

export interface ToolGrammar {
  /** Name of the rule that the answer keeps to, */
  root: string
  /** from the end of the first of these texts; from the beginning where there are none. */
  after: readonly string[]
}

/** Undefined where there is nothing to constrain: no tools, or no telling when the model begins a call. */
export function toolGrammar(
  builder: RuleBuilder,
  dialect: Dialect,
  tools: readonly GrammarTool[],
  { choice, single, reasoning }: ToolGrammarOptions,
): ToolGrammar | undefined {
  const markup = dialect.tools
  if (markup === undefined || tools.length === 0) return undefined
  const how = dialect.reasoning === undefined ? 'none' : reasoning
  const after = how === 'open' && dialect.reasoning !== undefined ? [dialect.reasoning.end.trim()] : []
  const begin = how === 'possible' && dialect.reasoning !== undefined ? wholeReasoning(dialect.reasoning) : ''
  if (dialect.harmony) return harmonyGrammar(builder, tools, { choice, after, begin, open: how === 'open' })

  const { trigger, rest } = callRules(builder, markup, tools, single)
  // Models leave an empty line after their reasoning.
  const gap = how === 'none' ? '' : '"\\n"? "\\n"? '
  if (choice !== 'auto') {
    const calls = `${trigger === '' ? '' : `${literal(trigger)} `}${rest}`
    return { root: builder.add('answer', `${optional(`${begin} ${gap}`, begin !== '')}${begin === '' ? gap : ''}${calls}`), after }
  }
  if (!markup.unmistakable) return undefined
  if (how === 'none') return { root: builder.add('calls', rest), after: [trigger] }
  // Reasoning may bring the trigger without calling anything, so the whole answer is told.
  const text = textWithout(trigger)
  const answer = `${text.before} ${text.partial} (${literal(trigger)} ${rest})?`
  return { root: builder.add('answer', `${optional(begin, begin !== '')}${answer}`), after }
}

function optional(body: string, present: boolean): string {
  return present ? `(${body.trim()})? ` : ''
}

function wholeReasoning({ begin, end }: { begin: string; end: string }): string {
  const { before, partial } = textWithout(end.trim())
  return `${literal(begin.trim())} ${before} ${partial} ${literal(end.trim())}`
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

/** Arguments are an object, even where a schema doesn't say so. */
function argumentsRule(builder: RuleBuilder, { parameters, pointer }: GrammarTool): string {
  if (typeof parameters !== 'object' || parameters === null || Object.keys(parameters).length === 0) return builder.jsonObject()
  const typed = ['type', '$ref', 'anyOf', 'oneOf', 'allOf', 'enum', 'const'].some((keyword) => keyword in parameters)
  return builder.schema(typed ? parameters : { type: 'object', ...parameters }, pointer)
}

interface HarmonyOptions {
  choice: ToolGrammarOptions['choice']
  after: readonly string[]
  begin: string
  open: boolean
}

/** One call: "<|call|>" ends the answer. */
function harmonyGrammar(
  builder: RuleBuilder,
  tools: readonly GrammarTool[],
  { choice, after, begin, open }: HarmonyOptions,
): ToolGrammar {
  const named = tools.map((tool) => ({ name: literal(tool.name), json: argumentsRule(builder, tool) }))
  const json = literal(' <|constrain|>json')
  if (choice === 'auto') {
    const header = `(${json} | ${literal('<|channel|>commentary')} (${literal(' json')} | ${json})?)? ${literal('<|message|>')}`
    const call = named.map((tool) => `${tool.name} ${header} ${tool.json}`).join(' | ')
    const markers = ['<|channel|>commentary to=functions.', '<|channel|>analysis to=functions.', '<|start|>assistant to=functions.']
    return { root: builder.add('call', call), after: markers }
  }
  const to = literal('<|channel|>commentary to=functions.')
  const call = builder.add('call', named.map(({ name, json: body }) => `${to} ${name} ${json} ${literal('<|message|>')} ${body}`).join(' | '))
  const next = literal('<|start|>assistant')
  return { root: builder.add('answer', `${open ? `${next} ` : optional(`${begin} ${next}`, begin !== '')}${call}`), after }
}
