/** How the models of one family write reasoning and tool calls. */
export interface Dialect {
  readonly name: string
  /** Spellings of special tokens that must be visible in the answer's text. Those that a vocabulary lacks come as ordinary text. */
  readonly markers: readonly string[]
  /** The texts around reasoning. */
  readonly reasoning: Enclosing | undefined
  /** Undefined where tool calls can't be read. */
  readonly tools: ToolMarkup | undefined
  /** The answer is a row of messages with headers, as OpenAI's harmony has it, and these are not what is around it. */
  readonly harmony: boolean
}

export interface Enclosing {
  readonly begin: string
  readonly end: string
}

/**
 * How calls are marked, spelt as the model's template spells it. Reading is generous about white space around markers, a grammar is not.
 * An empty text stands for one that isn't there.
 */
export interface ToolMarkup {
  /** Around all calls. */
  readonly calls: Enclosing
  /** Around each call. */
  readonly call: Enclosing
  /** Between one call and the next; undefined where an answer holds only one call. */
  readonly separator: string | undefined
  /** The answer may also begin with a call's JSON without any marker. */
  readonly bare: boolean
  /** The first marker stands for nothing but a call, so that what follows it may be constrained to be one. */
  readonly unmistakable: boolean
  /** What is around calls in the ways that models write them now and then, too. */
  readonly also: readonly Enclosing[]
  readonly form: CallForm
}

export type CallForm =
  /** {"name": "f", "arguments": {…}}; `list`: all calls in one JSON array. */
  | { readonly kind: 'object'; readonly list: boolean; readonly argumentsKey: 'arguments' | 'parameters' }
  /** The name, then the arguments. `id`: what comes before an id between the two, which is not needed. */
  | { readonly kind: 'named'; readonly prefix: string; readonly id: string; readonly between: string; readonly after: string }
  /** call:f{key:<|"|>text<|"|>}: the arguments are not JSON, but much alike. */
  | { readonly kind: 'unquoted'; readonly prefix: string; readonly quote: string }

const none: Enclosing = { begin: '', end: '' }
const think: Enclosing = { begin: '<think>', end: '</think>' }
const usual = { calls: none, call: none, bare: false, unmistakable: true, separator: undefined, also: [] }
const object = { kind: 'object', list: false, argumentsKey: 'arguments' } as const

const hermes: ToolMarkup = {
  ...usual,
  call: { begin: '<tool_call>\n', end: '\n</tool_call>' },
  separator: '\n',
  form: object,
}

/** As SmolLM2 was taught: all calls in one list. */
const smollm: ToolMarkup = {
  ...usual,
  calls: { begin: '<tool_call>', end: '</tool_call>' },
  form: { ...object, list: true },
}

const llama3: ToolMarkup = {
  ...usual,
  bare: true,
  unmistakable: false,
  also: [
    { begin: '<|python_tag|>', end: '' },
    { begin: '<tool_call>', end: '</tool_call>' },
  ],
  form: { ...object, argumentsKey: 'parameters' },
}

const mistralList: ToolMarkup = {
  ...usual,
  calls: { begin: '[TOOL_CALLS]', end: '' },
  form: { ...object, list: true },
}

const mistralNamed: ToolMarkup = {
  ...usual,
  call: { begin: '[TOOL_CALLS]', end: '' },
  separator: '',
  form: { kind: 'named', prefix: '', id: '[CALL_ID]', between: '[ARGS]', after: '' },
}

const deepseek = {
  ...usual,
  calls: { begin: '<｜tool▁calls▁begin｜>', end: '<｜tool▁calls▁end｜>' },
  call: { begin: '<｜tool▁call▁begin｜>', end: '<｜tool▁call▁end｜>' },
}

const deepseekR1: ToolMarkup = {
  ...deepseek,
  separator: '\n',
  form: { kind: 'named', prefix: 'function<｜tool▁sep｜>', id: '', between: '\n```json\n', after: '\n```' },
}

const deepseekV3: ToolMarkup = {
  ...deepseek,
  separator: '',
  form: { kind: 'named', prefix: '', id: '', between: '<｜tool▁sep｜>', after: '' },
}

const kimi: ToolMarkup = {
  ...usual,
  calls: { begin: '<|tool_calls_section_begin|>', end: '<|tool_calls_section_end|>' },
  call: { begin: '<|tool_call_begin|>', end: '<|tool_call_end|>' },
  separator: '',
  form: { kind: 'named', prefix: 'functions.', id: ':', between: '<|tool_call_argument_begin|>', after: '' },
}

const phi: ToolMarkup = {
  ...usual,
  calls: { begin: '<|tool_call|>', end: '<|/tool_call|>' },
  also: [{ begin: 'functools', end: '' }],
  form: { ...object, list: true },
}

const granite: ToolMarkup = {
  ...usual,
  calls: { begin: '<|tool_call|>', end: '' },
  also: [{ begin: '<tool_call>', end: '</tool_call>' }],
  form: { ...object, list: true },
}

/** Gemma 2 and 3 have no markers of their own: the templates that give them tools ask for JSON, which they like to fence. */
const gemma: ToolMarkup = {
  ...usual,
  calls: { begin: '```tool_code\n', end: '\n```' },
  bare: true,
  unmistakable: false,
  also: [
    { begin: '```tool_call', end: '```' },
    { begin: '```json', end: '```' },
    { begin: '<tool_call>', end: '</tool_call>' },
  ],
  form: { ...object, argumentsKey: 'parameters' },
}

const gemma4: ToolMarkup = {
  ...usual,
  call: { begin: '<|tool_call>', end: '<tool_call|>' },
  separator: '',
  form: { kind: 'unquoted', prefix: 'call:', quote: '<|"|>' },
}

const functionGemma: ToolMarkup = {
  ...usual,
  call: { begin: '<start_function_call>', end: '<end_function_call>' },
  separator: '',
  form: { kind: 'unquoted', prefix: 'call:', quote: '<escape>' },
}

/** For a template that takes tools in a way that isn't known: what models write most. */
const generic: ToolMarkup = {
  ...usual,
  bare: true,
  unmistakable: false,
  also: [
    { begin: '<tool_call>', end: '</tool_call>' },
    { begin: '<|tool_call|>', end: '<|/tool_call|>' },
    { begin: '[TOOL_CALLS]', end: '' },
    { begin: '```json', end: '```' },
  ],
  form: object,
}

/** Calls are messages to "functions.NAME"; see harmony-parser.ts. */
const harmony: ToolMarkup = {
  ...usual,
  form: { kind: 'named', prefix: ' to=functions.', id: '', between: '<|channel|>commentary json<|message|>', after: '' },
}

const harmonyMarkers = ['<|start|>', '<|channel|>', '<|constrain|>', '<|message|>', '<|end|>', '<|call|>', '<|return|>']

export const dialects: readonly Dialect[] = [
  dialect('plain', undefined, undefined),
  dialect('plain-think', undefined, think),
  dialect('generic', generic, undefined),
  dialect('generic-think', generic, think),
  dialect('hermes', hermes, undefined),
  dialect('hermes-think', hermes, think),
  dialect('smollm', smollm, undefined),
  dialect('llama3', llama3, undefined),
  dialect('llama3-think', llama3, think),
  dialect('mistral-list', mistralList, undefined),
  dialect('mistral', mistralNamed, undefined),
  dialect('mistral-think', mistralNamed, { begin: '[THINK]', end: '[/THINK]' }),
  dialect('deepseek-r1', deepseekR1, think),
  dialect('deepseek-v3', deepseekV3, think),
  dialect('kimi', kimi, undefined),
  dialect('kimi-think', kimi, think),
  dialect('phi', phi, undefined),
  dialect('granite', granite, think),
  dialect('gemma', gemma, undefined),
  dialect('gemma4', gemma4, { begin: '<|channel>thought\n', end: '<channel|>' }),
  dialect('functiongemma', functionGemma, undefined),
  {
    ...dialect('harmony', harmony, { begin: '<|channel|>analysis<|message|>', end: '<|end|>' }),
    markers: harmonyMarkers,
    harmony: true,
  },
]

function dialect(name: string, tools: ToolMarkup | undefined, reasoning: Enclosing | undefined): Dialect {
  return { name, markers: markersOf(tools, reasoning), reasoning, tools, harmony: false }
}

function markersOf(tools: ToolMarkup | undefined, reasoning: Enclosing | undefined): string[] {
  const enclosings = [reasoning, tools?.calls, tools?.call, ...(tools?.also ?? [])]
  const texts = enclosings.flatMap((enclosing) => (enclosing === undefined ? [] : [enclosing.begin, enclosing.end]))
  if (tools?.form.kind === 'named') texts.push(tools.form.prefix, tools.form.id, tools.form.between)
  if (tools?.form.kind === 'unquoted') texts.push(tools.form.quote)
  // What isn't a token by itself does no harm here: no vocabulary has it.
  const spellings = texts.flatMap((text) => text.match(/<[^<>]*[^<> ]>|\[[A-Z_/]+\]/g) ?? [])
  return [...new Set(spellings)]
}

const byName = new Map(dialects.map((dialect) => [dialect.name, dialect]))

export function dialectNamed(name: string): Dialect | undefined {
  return byName.get(name)
}

/** The dialect of the models that come with this chat template, told by what is spelt in its source. */
export function chooseDialect(templateSource: string): Dialect {
  return byName.get(nameFor((text) => templateSource.includes(text), templateSource)) ?? plain
}

const plain = dialect('plain', undefined, undefined)

function nameFor(has: (text: string) => boolean, source: string): string {
  const reasons = has('<think>') || has('</think>')
  const orThink = (name: string): string => (reasons ? `${name}-think` : name)
  if (has('<|channel|>') && has('<|message|>')) return 'harmony'
  if (has('<|tool_call>')) return 'gemma4'
  if (has('<start_function_call>')) return 'functiongemma'
  if (has('<｜tool▁call▁begin｜>')) return has('```json') ? 'deepseek-r1' : 'deepseek-v3'
  if (has('<|tool_call_begin|>')) return orThink('kimi')
  if (has('[TOOL_CALLS]')) {
    if (has('[THINK]')) return 'mistral-think'
    return has('[ARGS]') ? 'mistral' : 'mistral-list'
  }
  // Arguments in XML elements, a text and the number it spells written alike, can't be read without the tool's schema.
  if (['<function=', '<arg_key>', '<invoke', '<parameter', 'DSML'].some(has)) return orThink('plain')
  if (has('<|start_of_role|>') && has('<|tool_call|>')) return 'granite'
  if (has('<|tool_call|>') || has('<|tool|>')) return 'phi'
  if (has('<tool_call>')) return orThink('hermes')
  // SmolLM2 knows tools, though its template doesn't.
  if (has('named SmolLM') && !reasons) return 'smollm'
  const takesTools = /\b(?:custom_|xml_|available_)?tools\b/.test(source)
  if (takesTools && has('<|start_header_id|>')) return orThink('llama3')
  if (takesTools && has('<start_of_turn>')) return 'gemma'
  return orThink(takesTools ? 'generic' : 'plain')
}
