import {
  type Enclosing,
  type ToolMarkup,
  deepseekR1,
  deepseekV3,
  functionGemma,
  gemma,
  gemma4,
  generic,
  granite,
  harmony,
  hermes,
  kimi,
  llama3,
  mistralList,
  mistralNamed,
  phi,
  smollm,
} from './tool-markup.ts'

/** How the models of one family write reasoning and tool calls. */
export interface Dialect {
  readonly name: string
  /** Spellings of special tokens that must be visible in the answer's text. Those that a vocabulary lacks come as ordinary text. */
  readonly markers: readonly string[]
  /** The texts around reasoning. */
  readonly reasoning: Enclosing | undefined
  /** What may be around the answer after its reasoning; it is left out. */
  readonly wrapping: Enclosing | undefined
  /** Undefined where tool calls can't be read. */
  readonly tools: ToolMarkup | undefined
  /** The answer is a row of messages with headers (OpenAI's harmony), which harmony-parser.ts reads. */
  readonly harmony: boolean
}

const think: Enclosing = { begin: '<think>', end: '</think>' }

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
  dialect('granite', granite, think, { begin: '<response>', end: '</response>' }),
  dialect('gemma', gemma, undefined),
  dialect('gemma4', gemma4, { begin: '<|channel>thought\n', end: '<channel|>' }),
  dialect('functiongemma', functionGemma, undefined),
  {
    ...dialect('harmony', harmony, { begin: '<|channel|>analysis<|message|>', end: '<|end|>' }),
    markers: harmonyMarkers,
    harmony: true,
  },
]

function dialect(
  name: string,
  tools: ToolMarkup | undefined,
  reasoning: Enclosing | undefined,
  wrapping?: Enclosing,
): Dialect {
  return { name, markers: markersOf(tools, reasoning, wrapping), reasoning, wrapping, tools, harmony: false }
}

function markersOf(tools: ToolMarkup | undefined, ...others: readonly (Enclosing | undefined)[]): string[] {
  const enclosings = [...others, tools?.calls, tools?.call, ...(tools?.also ?? [])]
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
