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
const usual = { calls: none, call: none, bare: false, unmistakable: true, separator: undefined, also: [] }
const object = { kind: 'object', list: false, argumentsKey: 'arguments' } as const

export const hermes: ToolMarkup = {
  ...usual,
  call: { begin: '<tool_call>\n', end: '\n</tool_call>' },
  separator: '\n',
  form: object,
}

/** As SmolLM2 was taught: all calls in one list. */
export const smollm: ToolMarkup = {
  ...usual,
  calls: { begin: '<tool_call>', end: '</tool_call>' },
  form: { ...object, list: true },
}

export const llama3: ToolMarkup = {
  ...usual,
  bare: true,
  unmistakable: false,
  also: [
    { begin: '<|python_tag|>', end: '' },
    { begin: '<tool_call>', end: '</tool_call>' },
  ],
  form: { ...object, argumentsKey: 'parameters' },
}

export const mistralList: ToolMarkup = {
  ...usual,
  calls: { begin: '[TOOL_CALLS]', end: '' },
  form: { ...object, list: true },
}

export const mistralNamed: ToolMarkup = {
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

export const deepseekR1: ToolMarkup = {
  ...deepseek,
  separator: '\n',
  form: { kind: 'named', prefix: 'function<｜tool▁sep｜>', id: '', between: '\n```json\n', after: '\n```' },
}

export const deepseekV3: ToolMarkup = {
  ...deepseek,
  separator: '',
  form: { kind: 'named', prefix: '', id: '', between: '<｜tool▁sep｜>', after: '' },
}

export const kimi: ToolMarkup = {
  ...usual,
  calls: { begin: '<|tool_calls_section_begin|>', end: '<|tool_calls_section_end|>' },
  call: { begin: '<|tool_call_begin|>', end: '<|tool_call_end|>' },
  separator: '',
  form: { kind: 'named', prefix: 'functions.', id: ':', between: '<|tool_call_argument_begin|>', after: '' },
}

export const phi: ToolMarkup = {
  ...usual,
  calls: { begin: '<|tool_call|>', end: '<|/tool_call|>' },
  also: [{ begin: 'functools', end: '' }],
  form: { ...object, list: true },
}

export const granite: ToolMarkup = {
  ...usual,
  calls: { begin: '<|tool_call|>', end: '' },
  also: [{ begin: '<tool_call>', end: '</tool_call>' }],
  form: { ...object, list: true },
}

/** Gemma 2 and 3 have no markers of their own: the templates that give them tools ask for JSON, which they like to fence. */
export const gemma: ToolMarkup = {
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

export const gemma4: ToolMarkup = {
  ...usual,
  call: { begin: '<|tool_call>', end: '<tool_call|>' },
  separator: '',
  form: { kind: 'unquoted', prefix: 'call:', quote: '<|"|>' },
}

export const functionGemma: ToolMarkup = {
  ...usual,
  call: { begin: '<start_function_call>', end: '<end_function_call>' },
  separator: '',
  form: { kind: 'unquoted', prefix: 'call:', quote: '<escape>' },
}

/** For a template that takes tools in a way that isn't known: what models write most. */
export const generic: ToolMarkup = {
  ...usual,
  bare: true,
  unmistakable: false,
  also: [
    { begin: '<tool_call>', end: '</tool_call>' },
    { begin: '<|tool_call|>', end: '<|/tool_call|>' },
    { begin: '[TOOL_CALLS]', end: '' },
    { begin: '<TOOLCALL>', end: '</TOOLCALL>' },
    { begin: '```json', end: '```' },
  ],
  form: object,
}

/** Calls are messages to "functions.NAME"; see harmony-parser.ts. */
export const harmony: ToolMarkup = {
  ...usual,
  form: { kind: 'named', prefix: ' to=functions.', id: '', between: '<|channel|>commentary json<|message|>', after: '' },
}
