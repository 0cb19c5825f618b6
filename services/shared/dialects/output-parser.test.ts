import { describe, expect, it } from 'vitest'
import { dialectNamed, dialects } from './dialect.ts'
import type { OutputPart } from './output-part.ts'
import { createOutputParser, type OutputParser, type OutputParserOptions } from './output-parser.ts'
import { maxHeldSpace } from './read-until.ts'
import { parseOutput, textIn } from './test-support/parse-output.ts'
import { maxHeldBack } from './text-source.ts'

const toolNames = ['get_weather', 'search']

function parse(name: string, output: string, options: Partial<OutputParserOptions> = {}): OutputPart[] {
  const dialect = dialectNamed(name)
  if (dialect === undefined) throw new Error(name)
  const all = { toolNames, reasoningOpen: false, ...options }
  const whole = parseOutput(dialect, [output], all)
  expect(parseOutput(dialect, output.split(''), all)).toEqual(whole)
  return whole
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

  it.each([
    ['city:<|"|>Oslo "N" <|"|>,days:[1,true,{a:null}]', String.raw`{"city":"Oslo \"N\" ","days":[1,true,{"a":null}]}`],
    ['', '{}'],
    ['a:None , b: north', '{"a":null,"b":"north"}'],
    ['a:<|"|>\n{}\t\u0000<|"|>', String.raw`{"a":"\n{}\t\u0000"}`],
    ['"a": "x\\n", "b": {"c": [], "d": {}}, "e": [1, "f"]', String.raw`{"a":"x\n","b":{"c":[],"d":{}},"e":[1,"f"]}`],
  ])('gemma4, which is not JSON: %j', (written, args) => {
    expect(parse('gemma4', `<|tool_call>call:get_weather{${written}}<tool_call|>`)).toEqual(call(0, 'get_weather', args))
  })
})

describe('text and reasoning', () => {
  it.each(dialects.filter(({ harmony }) => !harmony).map(({ name }) => name))('%s passes text on', (name) => {
    const output = '  Hello, <b>world</b>!\n\n```js\n{"a": [1]}\n```\n'
    expect(parse(name, output)).toEqual([text(output)])
  })

  it.each([
    ['<think>\nHm, well.\n</think>\n\nYes.\n', false, [reasoning('Hm, well.'), text('Yes.\n')]],
    ['\n <think>Hm</think>', false, [reasoning('Hm')]],
    ['<think>\n\n</think>\n\nYes.', false, [text('Yes.')]],
    ['Hm\n</think>\n\nYes.', true, [reasoning('Hm'), text('Yes.')]],
    ['\n<think>Hm</think>Yes.', true, [reasoning('Hm'), text('Yes.')]],
    ['Hm, </thin', true, [reasoning('Hm, </thin')]],
    ['<think>Hm ', false, [reasoning('Hm ')]],
    ['Hm <think>no</think>', false, [text('Hm <think>no</think>')]],
    ['<thin', false, [text('<thin')]],
    ['\n\n<thin!', false, [text('\n\n<thin!')]],
    ['</think>', true, []],
    ['', true, []],
    ['<think>a</think><think>b</think>', false, [reasoning('a'), text('<think>b</think>')]],
  ] as const)('reasoning: %j', (output, reasoningOpen, parts) => {
    expect(parse('hermes-think', output, { reasoningOpen })).toEqual(parts)
    expect(parse('hermes-think', output, { reasoningOpen, toolNames: [] })).toEqual(parts)
    expect(parse('plain-think', output, { reasoningOpen })).toEqual(parts)
  })

  it.each([
    ['<think>Hm</think>\n<response>\nYes.\n</response>\n', [reasoning('Hm'), text('Yes.')]],
    ['<think>Hm</think><response>Yes.', [reasoning('Hm'), text('Yes.')]],
    ['<think>Hm</think>Yes </response>.', [reasoning('Hm'), text('Yes </response>.')]],
    ['<response>Yes.</response>', [text('<response>Yes.</response>')]],
    ['<think>Hm</think><respo', [reasoning('Hm'), text('<respo')]],
  ])('what is around an answer is left out: %j', (output, parts) => {
    expect(parse('granite', output)).toEqual(parts)
    expect(parse('granite', output, { toolNames: [] })).toEqual(parts)
  })

  it('reasoning may speak of calls', () => {
    const output = '<think>I could <tool_call>{"name": "search", "arguments": {}}</tool_call></think>No.'
    expect(parse('hermes-think', output)).toEqual([
      reasoning('I could <tool_call>{"name": "search", "arguments": {}}</tool_call>'),
      text('No.'),
    ])
  })
})

const json = '{"name": "search", "arguments": {"q": 1}}'

describe('around calls', () => {
  it.each([
    [`Let me see.\n\n<tool_call>\n${json}\n</tool_call>`, [text('Let me see.'), ...call(0, 'search', '{"q": 1}')]],
    [`\n<tool_call>${json}</tool_call>\n`, call(0, 'search', '{"q": 1}')],
    [`<tool_call>${json}</tool_call>\n\nThere. `, [...call(0, 'search', '{"q": 1}'), text('There. ')]],
    [`<tool_call>${json}${json}</tool_call>`, [...call(0, 'search', '{"q": 1}'), ...call(1, 'search', '{"q": 1}')]],
    [`<tool_call>[${json},\n${json}]</tool_call>`, [...call(0, 'search', '{"q": 1}'), ...call(1, 'search', '{"q": 1}')]],
    [`<tool_call>${json}`, call(0, 'search', '{"q": 1}')],
    [`<tool_call>${json}}</tool_call>`, [...call(0, 'search', '{"q": 1}'), text('}</tool_call>')]],
    [`<tool_call>${json}<tool_call>${json}`, [...call(0, 'search', '{"q": 1}'), ...call(1, 'search', '{"q": 1}')]],
    [`<<tool_call>${json}</tool_call>`, [text('<'), ...call(0, 'search', '{"q": 1}')]],
    [`${' '.repeat(maxHeldSpace)}<tool_call>${json}`, call(0, 'search', '{"q": 1}')],
    [`${' '.repeat(maxHeldSpace + 1)}<tool_call>${json}`, [text(' '.repeat(maxHeldSpace + 1)), ...call(0, 'search', '{"q": 1}')]],
    [`${' '.repeat(600)}<tool_call>${json}`, [text(' '.repeat(600)), ...call(0, 'search', '{"q": 1}')]],
    [`${' '.repeat(600)}x <tool_call>${json}`, [text(`${' '.repeat(600)}x`), ...call(0, 'search', '{"q": 1}')]],
    [`<tool_call><tool_call>${json}</tool_call>`, [text('<tool_call>'), ...call(0, 'search', '{"q": 1}')]],
  ])('%j', (output, parts) => {
    expect(parse('hermes', output)).toEqual(parts)
  })

  it('tool markup is text when there are no tools', () => {
    const output = ` <tool_call>${json}</tool_call> `
    expect(parse('hermes', output, { toolNames: [] })).toEqual([text(output)])
  })
})

describe('what a call may look like', () => {
  it.each([
    ['{"arguments": {"q": 1}, "name": "search"}', '{"q": 1}'],
    ['{"id": "x", "type": "function", "name": "search", "parameters": {"q": [{}]}, "more": {"a": [1]}}', '{"q": [{}]}'],
    ['{"name": "search"}', '{}'],
    ['{"name": "search", "arguments": null}', '{}'],
    ['{"name": "search", "arguments": ""}', '{}'],
    [String.raw`{"name": "search", "arguments": "{\"q\": \"\\n\ud83d\ude00\u00e9\"}"}`, '{"q": "\\n😀é"}'],
    [String.raw`{"arguments": "{\"q\": 1}", "name": "search"}`, '{"q": 1}'],
    [String.raw`{"name": "search", "arguments": " \n{\"q\": 1}\n "}`, '{"q": 1}'],
    [String.raw`{"\u006eame": "s\u0065arch", "arguments": {}}`, '{}'],
    ['\n{ "name" : "search" , "arguments" : { "q" : 1 } }\n', '{ "q" : 1 }'],
    ['{"name": "search", "arguments": {"q": "</tool_call>"}}', '{"q": "</tool_call>"}'],
  ])('%s', (body, args) => {
    expect(parse('hermes', `<tool_call>${body}</tool_call>`)).toEqual(call(0, 'search', args))
  })
})

describe('what is no call is text, as it was written', () => {
  it.each([
    ['hermes', '<tool_call>'],
    ['hermes', 'Hm \n<tool_call>{"name": "search"'],
    ['hermes', ' <tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call> '],
    ['hermes', '<tool_call>{"name": "unknown"  , "arguments": {}}</tool_call>'],
    ['hermes', '<tool_call>{"name": 5}</tool_call>'],
    ['hermes', '<tool_call>{"name": "search",}</tool_call>'],
    ['hermes', '<tool_call>{"name": "search" "arguments": {}}</tool_call>'],
    ['hermes', '<tool_call>{"arguments": {"a": 1}}</tool_call>'],
    ['hermes', '<tool_call>{"name": "search", "name": "search", "arguments": {}}</tool_call>'],
    ['hermes', '<tool_call>{"name": "search", "arguments": [1]}</tool_call>'],
    ['hermes', '<tool_call>{"name": "search", "arguments": "[1]"}</tool_call>'],
    ['hermes', `<tool_call>{"${'x'.repeat(2000)}": 1, "name": "search"}</tool_call>`],
    ['hermes', `<tool_call>{"x": ${'['.repeat(200)}${']'.repeat(200)}, "name": "search"}</tool_call>`],
    ['hermes', '<tool_call>search({"q": 1})</tool_call>'],
    ['llama3', '{"city": "Oslo", "name": "search"}'],
    ['llama3', '{"name": "Oslo", "parameters": {}}'],
    ['llama3', '<|python_tag|>print("Hello")'],
    ['llama3', 'I call {"name": "search", "parameters": {}}'],
    ['generic', '```json\n{"a": 1}\n```'],
    ['mistral', '[TOOL_CALLS]unknown[ARGS]{}'],
    ['mistral', '[TOOL_CALLS]search[ARGS]'],
    ['mistral', '[TOOL_CALLS]search'],
    ['mistral', `[TOOL_CALLS]${'x'.repeat(300)}[ARGS]{}`],
    ['deepseek-r1', '<｜tool▁calls▁begin｜>search'],
    ['gemma4', '<|tool_call>call:unknown{a:1}<tool_call|>'],
    ['gemma4', '<|tool_call>search{a:1}<tool_call|>'],
  ])('%s: %j', (name, output) => {
    expect(parse(name, output)).toEqual([text(output)])
  })

  it('the next call is still read', () => {
    expect(parse('hermes', `<tool_call>{"name": "unknown"}</tool_call>\n<tool_call>${json}</tool_call>`)).toEqual([
      text('<tool_call>{"name": "unknown"}</tool_call>'),
      ...call(0, 'search', '{"q": 1}'),
    ])
    expect(parse('hermes', `<tool_call>[${json}, {"name": "unknown"}]</tool_call>`)).toEqual([
      ...call(0, 'search', '{"q": 1}'),
      text(', {"name": "unknown"}]</tool_call>'),
    ])
  })

  it('after so many characters it is not waited any longer', () => {
    const output = `<tool_call>{"x": "${'x'.repeat(maxHeldBack)}`
    const dialect = dialectNamed('hermes')
    if (dialect === undefined) throw new Error('hermes')
    const parser = createOutputParser(dialect, { toolNames, reasoningOpen: false })
    expect(textIn(parser.push(output))).toBe(output)
    expect(parse('hermes', `${output}", "name": "search"}</tool_call>`)).toEqual([text(`${output}", "name": "search"}</tool_call>`)])
  })
})

describe('a call that turns out malformed ends there', () => {
  it.each([
    ['hermes', '<tool_call>{"name": "search", "arguments": {"q": 1,}}</tool_call>', '{"q": 1,'],
    ['hermes', '<tool_call>{"name": "search", "arguments": {"q": tru', '{"q": tru'],
    ['hermes', '<tool_call>{"name": "search", "arguments": {"q": 1}, "arguments": {}}</tool_call>', '{"q": 1}'],
    ['hermes', '<tool_call>{"name": "search", "arguments": {"q": 1}; and so on', '{"q": 1}'],
    ['hermes', String.raw`<tool_call>{"name": "search", "arguments": "{\"q\": x</tool_call>"}</tool_call>`, '{"q": '],
    ['hermes', '<tool_call>{"name": "search", "arguments": "{} x"} and so on</tool_call>', '{}'],
    ['llama3', '{"name": "search", "parameters": {"q": x}} and so on', '{"q": '],
    ['gemma4', `<|tool_call>call:search{a:${'['.repeat(200)}`, `{"a":${'['.repeat(127)}`],
    ['mistral', '[TOOL_CALLS]search[ARGS]{"q": "\n', '{"q": "'],
    ['gemma4', '<|tool_call>call:search{q:1,:}<tool_call|>', '{"q":1'],
    ['gemma4', '<|tool_call>call:search{q:1,}<tool_call|>', '{"q":1'],
    ['gemma4', '<|tool_call>call:search{q:[1,]}<tool_call|>', '{"q":[1,'],
    ['gemma4', '<|tool_call>call:search{q:<|"|>a "b', '{"q":"a \\"b'],
    ['harmony', '<|channel|>commentary to=functions.search<|message|>{"q": x}<|call|>', '{"q": '],
  ])('%s: %j', (name, output, args) => {
    expect(parse(name, output)).toEqual(call(0, 'search', args))
  })

  it('and what comes after its end is read again', () => {
    const broken = '<tool_call>{"name": "get_weather", "arguments": {"q": 1,}}'
    const begun = call(0, 'get_weather', '{"q": 1,')
    expect(parse('hermes', `${broken}</tool_call>\nSorry.`)).toEqual([...begun, text('Sorry.')])
    expect(parse('hermes', `${broken}<tool_call>and so on</tool_call>Sorry.`)).toEqual([...begun, text('Sorry.')])
    expect(parse('hermes', `${broken}<tool_call>${json}</tool_call>`)).toEqual([...begun, ...call(1, 'search', '{"q": 1}')])
  })
})

describe('as it comes', () => {
  it('text leaves at once, arguments as they are written', () => {
    const dialect = dialectNamed('hermes')
    if (dialect === undefined) throw new Error('hermes')
    const parser = createOutputParser(dialect, { toolNames, reasoningOpen: false })
    expect(parser.push('Well,')).toEqual([text('Well,')])
    expect(parser.push(' so <tool')).toEqual([text(' so')])
    expect(parser.push('_call>{"name": "search", "arg')).toEqual([])
    expect(parser.push('uments": {"q": "Os')).toEqual(call(0, 'search', '{"q": "Os'))
    expect(parser.push('lo"')).toEqual([{ kind: 'tool_arguments', index: 0, text: 'lo"' }])
    expect(parser.push('}}</tool_')).toEqual([{ kind: 'tool_arguments', index: 0, text: '}' }])
    expect(parser.push('call>')).toEqual([])
    expect(parser.end()).toEqual([])
  })
})

describe('pieces', () => {
  const parser = (name: string): OutputParser => {
    const dialect = dialectNamed(name)
    if (dialect === undefined) throw new Error(name)
    return createOutputParser(dialect, { toolNames, reasoningOpen: false })
  }

  it('are as few as can be', () => {
    expect(parser('gemma4').push('<|tool_call>call:search{q:1,r:[2,3]}<tool_call|>')).toEqual(call(0, 'search', '{"q":1,"r":[2,3]}'))
  })

  it('hold no half of a character that is escaped as two', () => {
    const { push } = parser('hermes')
    push(String.raw`<tool_call>{"name": "search", "arguments": "{\"q\": \"\ud83d`)
    expect(push(String.raw`\ude00`)).toEqual([{ kind: 'tool_arguments', index: 0, text: '😀' }])
  })

  it.each([
    ['mistral', '[TOOL_CALLS]'],
    ['harmony', '<|channel|>'],
  ])('%s does not wait for a name without end', (name, before) => {
    const output = before + 'x'.repeat(600)
    expect(textIn(parser(name).push(output))).toBe(output)
  })
})

describe('harmony', () => {
  const final = '<|start|>assistant<|channel|>final<|message|>'
  it.each([
    [`<|channel|>analysis<|message|>Hm.<|end|>${final}Yes.\n<|return|>`, [reasoning('Hm.'), text('Yes.\n')]],
    ['<|channel|>final<|message|>Yes.', [text('Yes.')]],
    ['<|channel|>analysis<|message|>Hm', [reasoning('Hm')]],
    [`<|channel|>commentary<|message|>I look.<|end|>${final}There.`, [text('I look.\n\nThere.')]],
    [`<|channel|>final <|constrain|>json<|message|>{"a": 1}`, [text('{"a": 1}')]],
    [' to=functions.search<|channel|>commentary json<|message|>{"q": 1}', call(0, 'search', '{"q": 1}')],
    [' to=functions.search<|channel|>analysis <|constrain|>json<|message|>{"q": 1}<|call|>', call(0, 'search', '{"q": 1}')],
    [
      '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.search <|constrain|>json<|message|>{"q": 1}<|call|>',
      [reasoning('Hm.'), ...call(0, 'search', '{"q": 1}')],
    ],
    [`<|channel|>analysis<|message|>Hm.${final}Yes.`, [reasoning('Hm.'), text('Yes.')]],
    [
      `${final}I look.<|end|><|start|>assistant to=functions.search<|message|>{}<|call|>${final}There.`,
      [text('I look.'), ...call(0, 'search', '{}'), text('There.')],
    ],
    ['<|channel|>commentary to=functions.search<|message|><|call|>', call(0, 'search', '{}')],
    ['<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hm.', [reasoning('Hm.')]],
    ['Yes.', [text('Yes.')]],
    ['<|channel|>final', [text('<|channel|>final')]],
    ['<|channel|>commentary to=functions.unknown<|message|>{}', [text('<|channel|>commentary to=functions.unknown<|message|>{}')]],
    ['<|channel|>commentary to=functions.search<|message|>x', [text('<|channel|>commentary to=functions.search<|message|>x')]],
    ['', []],
  ])('%j', (output, parts) => {
    expect(parse('harmony', output)).toEqual(parts)
  })

  it('goes on with the reasoning that the prompt began', () => {
    expect(parse('harmony', `Hm.<|end|>${final}Yes.`, { reasoningOpen: true })).toEqual([reasoning('Hm.'), text('Yes.')])
  })
})
