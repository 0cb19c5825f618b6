import type { ResponseCreateParamsBase, ResponseInputItem } from 'openai/resources/responses/responses'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { ToolChoice } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../../../shared/errors.ts'
import { neutralSampling } from '../sampling.ts'
import { parseResponsesRequest, type ResponsesRequestBody } from './request.ts'

const base = { model: 'm', input: 'hi' }
const tool = { type: 'function', name: 'f', parameters: { type: 'object' }, strict: true }

function refusal(body: unknown): ServiceError {
  try {
    parseResponsesRequest(body)
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown
    throw thrown
  }
  throw new Error('it was taken')
}

function generationOf(body: object) {
  return parseResponsesRequest({ ...base, ...body }).generation
}

function conversationOf(body: object) {
  const { prompt } = generationOf(body)
  if (prompt.$case !== 'conversation') throw new Error('no conversation')
  return prompt.value
}

function messagesOf(input: readonly object[]) {
  return conversationOf({ input }).messages
}

test("knows every parameter of OpenAI's client", () => {
  expectTypeOf<Exclude<keyof ResponseCreateParamsBase, keyof ResponsesRequestBody>>().toEqualTypeOf<never>()
})

describe('the input', () => {
  test('is a text, with instructions before it', () => {
    expect(conversationOf({ instructions: 'Be brief.' })).toMatchObject({ messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'hi' }], addGenerationPrompt: true })
    expect(conversationOf({ instructions: null }).messages).toMatchObject([{ role: 'user', content: 'hi' }])
  })

  test('is items, those of one turn one message', () => {
    const input: (ResponseInputItem | object)[] = [
      { role: 'user', content: [{ type: 'input_text', text: 'a' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }], encrypted_content: null, status: 'completed' },
      { type: 'message', role: 'assistant', id: 'msg_1', status: 'completed', content: [{ type: 'output_text', text: 'b', annotations: [], logprobs: [] }] },
      { type: 'function_call', id: 'fc_1', call_id: 'c1', name: 'f', arguments: '{}', status: 'completed' },
      { type: 'function_call', call_id: 'c2', name: 'g', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: 'r' },
      { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 's' }, { type: 'input_text', text: 't' }] },
      { role: 'assistant', content: 'c' },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'd' }] },
      { role: 'developer', content: 'e' },
    ]
    expect(messagesOf(input)).toMatchObject([
      { role: 'user', content: 'a' },
      { role: 'assistant', reasoning: 'hm', content: 'b', toolCalls: [{ id: 'c1', name: 'f', arguments: '{}' }, { id: 'c2', name: 'g' }] },
      { role: 'tool', toolCallId: 'c1', name: 'f', content: 'r' },
      { role: 'tool', toolCallId: 'c2', name: 'g', content: 's\nt' },
      { role: 'assistant', content: 'c', toolCalls: [] },
      { role: 'assistant', content: 'd' },
      { role: 'developer', content: 'e' },
    ])
    expect(parseResponsesRequest({ ...base, input }).unknown).toEqual([])
  })

  test('may have calls without a text before them, and text after them as another turn', () => {
    const call = { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' }
    expect(messagesOf([call])).toMatchObject([{ role: 'assistant', content: '', toolCalls: [{ id: 'c1' }] }])
    expect(messagesOf([call, { role: 'assistant', content: 'b' }])).toMatchObject([{ toolCalls: [{ id: 'c1' }] }, { content: 'b', toolCalls: [] }])
    expect(messagesOf([{ type: 'function_call_output', call_id: 'another', output: '' }])).toMatchObject([{ role: 'tool', toolCallId: 'another', name: '' }])
  })

  test('has another turn of the assistant after whatever else', () => {
    const call = { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' }
    const another = { ...call, call_id: 'c2' }
    expect(messagesOf([call, { type: 'function_call_output', call_id: 'c1', output: 'r' }, another])).toMatchObject([{ toolCalls: [{ id: 'c1' }] }, { role: 'tool' }, { role: 'assistant', toolCalls: [{ id: 'c2' }] }])
    expect(messagesOf([{ role: 'assistant', content: 'a' }, { role: 'user', content: 'b' }, call])).toMatchObject([{ content: 'a', toolCalls: [] }, { role: 'user' }, { role: 'assistant', content: '', toolCalls: [{ id: 'c1' }] }])
  })

  test('has no turn for reasoning that tells nothing', () => {
    const hidden = { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 's' }], encrypted_content: 'x' }
    expect(messagesOf([hidden, { role: 'user', content: 'a' }])).toMatchObject([{ role: 'user', content: 'a' }])
    expect(messagesOf([hidden, { role: 'assistant', content: 'a' }, hidden, { role: 'assistant', content: 'b' }])).toMatchObject([{ content: 'a', reasoning: '' }, { content: 'b' }])
  })
})

test('neutral values ask for nothing', () => {
  const asNothing = {
    background: false,
    conversation: null,
    include: [],
    max_output_tokens: null,
    max_tool_calls: null,
    metadata: {},
    parallel_tool_calls: null,
    previous_response_id: null,
    reasoning: null,
    service_tier: 'auto',
    store: false,
    stream: null,
    stream_options: null,
    temperature: null,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: null,
    truncation: 'disabled',
    user: 'anne',
    safety_identifier: 'x',
    prompt_cache_retention: '24h',
  }
  expect(parseResponsesRequest({ ...base, ...asNothing })).toMatchObject({ unknown: [] })
  expect(generationOf(asNothing)).toEqual(generationOf({}))
  expect(generationOf({})).toMatchObject({ sampling: neutralSampling(), maxTokens: 0, choices: 1, stop: [], stream: false, cacheKey: '', batch: false })
  expect(generationOf({ service_tier: 'flex' })).toMatchObject({ batch: true })
  expect(generationOf({ service_tier: 'auto' })).toMatchObject({ batch: false })
  expect(generationOf({})).toMatchObject({ topLogprobs: undefined, format: undefined })
})

test('sampling, limits and hints reach the generation', () => {
  expect(generationOf({ temperature: 0.5, top_p: 0.9, max_output_tokens: 9, stream: true, prompt_cache_key: 'k' })).toMatchObject({
    sampling: { ...neutralSampling(), temperature: 0.5, topP: 0.9 },
    maxTokens: 9,
    stream: true,
    cacheKey: 'k',
  })
  expect(generationOf({ top_p: 0 }).sampling).toMatchObject({ temperature: 0, topP: 1 })
})

test.each([
  [{}, undefined],
  [{ include: ['message.output_text.logprobs'] }, 0],
  [{ include: ['message.output_text.logprobs'], top_logprobs: 3 }, 3],
  [{ top_logprobs: 3 }, 3],
  [{ include: ['reasoning.encrypted_content'] }, undefined],
])('log-probabilities are told when asked for: %j', (body, topLogprobs) => {
  expect(generationOf(body).topLogprobs).toBe(topLogprobs)
})

test.each([
  [{ type: 'text' }, undefined],
  [{ type: 'json_object' }, { format: { $case: 'jsonObject', value: true }, param: 'text.format' }],
  [{ type: 'json_schema', name: 'x', schema: { type: 'array' }, strict: null }, { format: { $case: 'jsonSchema', value: '{"type":"array"}' }, param: 'text.format.schema' }],
])('the format of the text: %j', (format, expected) => {
  expect(generationOf({ text: { format } }).format).toEqual(expected)
})

test.each([
  [{}, { toolChoice: ToolChoice.AUTO, toolName: '', singleToolCall: false }],
  [{ tool_choice: 'none' }, { toolChoice: ToolChoice.NONE }],
  [{ tool_choice: 'required', parallel_tool_calls: false }, { toolChoice: ToolChoice.REQUIRED, singleToolCall: true }],
  [{ tool_choice: { type: 'function', name: 'f' } }, { toolChoice: ToolChoice.NAMED, toolName: 'f' }],
])('tools and their choice: %j', (body, expected) => {
  const { tools, ...conversation } = conversationOf({ tools: [{ ...tool, description: 'd' }, { type: 'function', name: 'g', parameters: null }], ...body })
  expect(conversation).toMatchObject(expected)
  expect(tools).toEqual([
    { name: 'f', description: 'd', parameters: '{"type":"object"}', strict: true, param: 'tools[0].parameters' },
    { name: 'g', description: '', parameters: '', strict: false, param: 'tools[1].parameters' },
  ])
})

test.each([
  ['none', { reasoning: false, reasoningEffort: '' }],
  ['high', { reasoning: true, reasoningEffort: 'high' }],
])('reasoning effort %s', (effort, expected) => {
  expect(conversationOf({ reasoning: { effort, summary: 'auto' } })).toMatchObject(expected)
  expect(conversationOf({ reasoning: { summary: 'auto' } })).not.toHaveProperty('reasoning')
})

test('unknown names are told with their places', () => {
  const body = { ...base, odd: 1, text: { odd: 1 }, tools: [{ ...tool, odd: 1 }], input: [{ role: 'user', content: [{ type: 'input_text', text: 'a', odd: 1 }], odd: 1 }] }
  expect(new Set(parseResponsesRequest(body).unknown)).toEqual(new Set(['odd', 'text.odd', 'tools[0].odd', 'input[0].odd', 'input[0].content[0].odd']))
})

const user = (content: unknown) => ({ ...base, input: [{ role: 'user', content }] })

test.each([
  [{ input: 'hi' }, 'model'],
  [{ model: 'm' }, 'input'],
  [{ ...base, input: [] }, 'input'],
  [{ ...base, input: 5 }, 'input'],
  [{ ...base, input: ['a'] }, 'input[0]'],
  [{ ...base, input: [{ role: 'user', content: 'a' }, { role: 'tool', content: 'a' }] }, 'input[1]'],
  [{ ...base, input: [{ type: 'item_reference', id: 'x' }] }, 'input[0]'],
  [{ ...base, input: [{ type: 'web_search_call', id: 'x', status: 'completed' }] }, 'input[0]'],
  [{ ...base, input: [{ type: 'function_call', call_id: 'c', name: 'f', arguments: {} }] }, 'input[0].arguments'],
  [{ ...base, input: [{ type: 'function_call_output', call_id: 'c', output: [{ type: 'input_image', image_url: 'x' }] }] }, 'input[0].output[0]'],
  [user([{ type: 'input_image', image_url: 'x' }]), 'input[0].content[0]'],
  [user([{ type: 'input_file', file_id: 'x' }]), 'input[0].content[0]'],
  [user([{ type: 'input_audio', input_audio: {} }]), 'input[0].content[0]'],
  [{ ...base, tools: [{ type: 'web_search' }] }, 'tools[0].type'],
  [{ ...base, tools: [tool, { type: 'mcp', server_label: 'x' }] }, 'tools[1].type'],
  [{ ...base, tools: [{ type: 'function' }] }, 'tools[0].name'],
  [{ ...base, tools: [{ ...tool, name: 'a b' }] }, 'tools[0].name'],
  [{ ...base, tools: [tool, tool] }, 'tools[1].name'],
  [{ ...base, tools: [{ ...tool, parameters: 'x' }] }, 'tools[0].parameters'],
  [{ ...base, tools: [{ ...tool, defer_loading: true }] }, 'tools[0].defer_loading'],
  [{ ...base, tools: Array.from({ length: 129 }, (_, index) => ({ ...tool, name: `f${index}` })) }, 'tools'],
  [{ ...base, tool_choice: 'any' }, 'tool_choice'],
  [{ ...base, tool_choice: 'required' }, 'tool_choice'],
  [{ ...base, tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [] } }, 'tool_choice.type'],
  [{ ...base, tools: [tool], tool_choice: { type: 'function', name: 'g' } }, 'tool_choice.name'],
  [{ ...base, text: { format: { type: 'json_schema', name: 'x' } } }, 'text.format'],
  [{ ...base, text: { verbosity: 'low' } }, 'text.verbosity'],
  [{ ...base, temperature: 3 }, 'temperature'],
  [{ ...base, top_p: -1 }, 'top_p'],
  [{ ...base, top_logprobs: 21 }, 'top_logprobs'],
  [{ ...base, max_output_tokens: 0 }, 'max_output_tokens'],
  [{ ...base, include: ['file_search_call.results'] }, 'include[0]'],
  [{ ...base, reasoning: { effort: 'huge' } }, 'reasoning.effort'],
  [{ ...base, stream: 'yes' }, 'stream'],
  [{ ...base, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
  [{ ...base, metadata: { a: 1 } }, 'metadata.a'],
])('is refused with its place: %j', (body, param) => {
  const error = refusal(body)
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(error.param === param || error.param?.startsWith(`${param}.`)).toBe(true)
})

test.each([
  ['previous_response_id', 'resp_1', /nothing is kept.*whole conversation/],
  ['conversation', 'conv_1', /nothing is kept/],
  ['conversation', { id: 'conv_1' }, /nothing is kept/],
  ['prompt', { id: 'pmpt_1' }, /nothing is kept/],
  ['background', true, /nothing is kept/],
  ['store', true, /nothing is stored/],
  ['truncation', 'auto', /never cut/],
  ['max_tool_calls', 3, /tools that a server runs/],
  ['context_management', [{ type: 'compaction' }], /never edited/],
  ['moderation', { model: 'x' }, /no moderation/],
  ['image', { detail: 'low' }, /no images/],
  ['max_tokens', 5, /use max_output_tokens/],
  ['response_format', { type: 'json_object' }, /use text.format/],
  ['reasoning_effort', 'low', /use reasoning.effort/],
  ['logprobs', true, /use include/],
  ['stop', ['x'], /chat\/completions/],
  ['seed', 1, /chat\/completions/],
  ['n', 2, /chat\/completions/],
  ['top_k', 40, /chat\/completions/],
  ['guided_json', { type: 'object' }, /response_format/],
])('%s is known, and refused with what to do: %j', (param, value, message) => {
  expect(refusal({ ...base, [param]: value })).toMatchObject({ reason: 'unsupported_parameter', param, message: expect.stringMatching(message) as string })
})

test('a refusal tells nothing of what was sent', () => {
  const secret = 'CANARY'
  for (const body of [user([{ type: secret, text: secret }]), { ...base, tool_choice: secret }, { ...base, tools: [{ type: 'function', name: `${secret} ` }] }, { ...base, store: secret }, { ...base, metadata: { a: [secret] } }]) {
    expect(refusal(body).message).not.toContain(secret)
  }
})
