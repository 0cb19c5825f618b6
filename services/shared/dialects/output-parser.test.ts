import { describe, expect, it } from 'vitest'
import { dialectNamed, dialects, type Dialect } from './dialect.ts'
import type { OutputPart } from './output-part.ts'
import { createOutputParser, type OutputParserOptions } from './output-parser.ts'

const tools = ['get_weather', 'search']

function parse(name: string, text: string, options: Partial<OutputParserOptions> = {}): OutputPart[] {
  const dialect = named(name)
  const parser = createOutputParser(dialect, { toolNames: tools, reasoningOpen: false, ...options })
  const whole = merge([...parser.push(text), ...parser.end()])
  const piecewise = createOutputParser(dialect, { toolNames: tools, reasoningOpen: false, ...options })
  expect(merge([...[...text].flatMap((char) => piecewise.push(char)), ...piecewise.end()])).toEqual(whole)
  return whole
}

function named(name: string): Dialect {
  const dialect = dialectNamed(name)
  if (dialect === undefined) throw new Error(name)
  return dialect
}

function merge(parts: readonly OutputPart[]): OutputPart[] {
  const merged: OutputPart[] = []
  for (const part of parts) {
    const last = merged.at(-1)
    if (part.kind !== 'tool_call' && last?.kind === part.kind) last.text += part.text
    else merged.push({ ...part })
  }
  return merged
}

const text = (text: string): OutputPart => ({ kind: 'text', text })
const reasoning = (text: string): OutputPart => ({ kind: 'reasoning', text })
const call = (index: number, name: string, json: string): OutputPart[] => [
  { kind: 'tool_call', index, name },
  { kind: 'tool_arguments', index, text: json },
]

describe('every dialect reads its own calls', () => {
  const outputs: Record<string, string> = {
    hermes:
      '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n<tool_call>\n{"name": "search", "arguments": {}}\n</tool_call>',
    smollm: '<tool_call>[{"name": "get_weather", "arguments": {"city": "Oslo"}}, {"name": "search", "arguments": {}}]</tool_call>',
    llama3: '{"name": "get_weather", "parameters": {"city": "Oslo"}}; {"name": "search", "parameters": {}}',
    generic: '```json\n[{"name": "get_weather", "arguments": {"city": "Oslo"}},\n{"name": "search", "arguments": {}}]\n```',
    'mistral-list': '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "123456789"}, {"name": "search", "arguments": {}}]',
    mistral: '[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{"city": "Oslo"}[TOOL_CALLS]search[ARGS]{}',
    'deepseek-r1':
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Oslo"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>search\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    'deepseek-v3':
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>search<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    kimi: '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo"}<|tool_call_end|><|tool_call_begin|>functions.search:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
    phi: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}, {"name": "search", "arguments": {}}]<|/tool_call|>',
    granite: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}, {"name": "search", "arguments": {}}]',
    gemma: '```tool_code\n[{"name": "get_weather", "parameters": {"city": "Oslo"}}, {"name": "search", "parameters": {}}]\n```',
    harmony:
      '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo"}<|call|><|start|>assistant to=functions.search<|channel|>commentary json<|message|>{}<|call|>',
  }
  it.each(Object.entries(outputs))('%s', (name, output) => {
    expect(parse(name, output)).toEqual([...call(0, 'get_weather', '{"city": "Oslo"}'), ...call(1, 'search', '{}')])
  })

  it('gemma4, which is not JSON', () => {
    const output =
      '<|tool_call>call:get_weather{city:<|"|>Oslo "N" <|"|>,days:[1,true,{a:null}]}<tool_call|><|tool_call>call:search{}<tool_call|>'
    expect(parse('gemma4', output)).toEqual([
      ...call(0, 'get_weather', String.raw`{"city":"Oslo \"N\" ","days":[1,true,{"a":null}]}`),
      ...call(1, 'search', '{}'),
    ])
  })
})

describe('text and reasoning', () => {
  it.each(dialects.filter(({ harmony }) => !harmony).map(({ name }) => name))('%s passes text on', (name) => {
    const output = '  Hello, <b>world</b>!\n\n```js\n{"a": [1]}\n```\n'
    expect(parse(name, output)).toEqual([text(output)])
  })

  it('reasoning comes apart from the answer', () => {
    expect(parse('hermes-think', '<think>\nHm, well.\n</think>\n\nYes.\n')).toEqual([reasoning('Hm, well.'), text('Yes.\n')])
  })
})
