import type OpenAI from 'openai'
import { zodTextFormat } from 'openai/helpers/zod'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { supportedPlaces } from './support/openapi.ts'
import { playedPlatform, realPlatform } from './support/platforms.ts'

type Response = OpenAI.Responses.Response
type Params = OpenAI.Responses.ResponseCreateParamsNonStreaming
type StreamEvent = OpenAI.Responses.ResponseStreamEvent

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

async function begin(started: Promise<Platform>): Promise<void> {
  platform = await started
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
}

async function ask(params: Partial<Params> = {}): Promise<Response> {
  return await client.responses.create({ model: platform.model, input: 'Name the capital of France.', temperature: 0, max_output_tokens: 16, ...params })
}

async function eventsOf(params: Partial<Params> = {}): Promise<StreamEvent[]> {
  const stream = await client.responses.create({ model: platform.model, input: 'How is the weather in Rome?', ...params, stream: true })
  const events: StreamEvent[] = []
  for await (const event of stream) events.push(event)
  return events
}

/** What was given may be given back, though one of the types that the client has for it differs. */
function asInput({ output }: Response): OpenAI.Responses.ResponseInputItem[] {
  return output as OpenAI.Responses.ResponseInputItem[]
}

/** Types of the events, each once for a row of the same. */
function orderOf(events: readonly StreamEvent[]): string[] {
  return events.map(({ type }) => type.replace(/^response\./, '')).filter((type, index, all) => type !== all[index - 1])
}

function only<Type extends StreamEvent['type']>(events: readonly StreamEvent[], type: Type): Extract<StreamEvent, { type: Type }>[] {
  return events.filter((event): event is Extract<StreamEvent, { type: Type }> => event.type === type)
}

const tool = { type: 'function', name: 'get_weather', description: 'Tells the weather.', strict: true, parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false } } as const

describe('responses, with the real model', () => {
  beforeAll(() => begin(realPlatform()))
  afterAll(() => platform.stop())
  afterEach(() => wire.verify())

  test('answers a text', async () => {
    const response = await ask()
    expect(response.output_text).toContain('Paris')
    expect(response).toMatchObject({ object: 'response', model: platform.model, error: null, parallel_tool_calls: true })
    expect(['completed', 'incomplete']).toContain(response.status)
    expect(response.output[0]).toMatchObject({ type: 'message', role: 'assistant', content: [{ type: 'output_text', annotations: [] }] })
    expect(response.usage?.total_tokens).toBe((response.usage?.input_tokens ?? 0) + (response.usage?.output_tokens ?? 0))
  })

  test('answers a list of messages as it answers the text', async () => {
    const input: Params['input'] = [{ role: 'user', content: [{ type: 'input_text', text: 'Name the capital of France.' }] }]
    expect((await ask({ input })).output_text).toBe((await ask()).output_text)
    expect((await ask({ input: [{ type: 'message', role: 'user', content: 'Name the capital of France.' }] })).output_text).toBe((await ask()).output_text)
  })

  test('takes back what it gave, as the history', async () => {
    const first = await ask()
    const response = await ask({ input: [{ role: 'user', content: 'Name the capital of France.' }, ...asInput(first), { role: 'user', content: 'And of Italy?' }] })
    expect(response.usage?.input_tokens).toBeGreaterThan((first.usage?.input_tokens ?? 0) + 8)
  })

  test('takes calls, what they gave, and refusals', async () => {
    const call = { type: 'function_call' as const, call_id: 'call_1', name: 'look_up', arguments: '{"what": "France"}' }
    const question = { role: 'user' as const, content: 'Name the capital of France.' }
    const without = await ask({ input: [question] })
    // In no type of the client, but the API's models give such parts.
    const refusals = [{ type: 'refusal', refusal: 'Ask someone else about it.' }] as unknown as OpenAI.Responses.ResponseFunctionCallOutputItemList
    const outputs: OpenAI.Responses.ResponseInputItem.FunctionCallOutput['output'][] = ['Paris', [{ type: 'input_text', text: 'Paris' }], refusals]
    for (const output of outputs) {
      const response = await ask({ input: [question, call, { type: 'function_call_output', call_id: 'call_1', output }] })
      expect(response.usage?.input_tokens).toBeGreaterThan((without.usage?.input_tokens ?? 0) + 8)
    }
    const refused = await ask({ input: [question, { type: 'message', role: 'assistant', id: 'msg_1', status: 'completed', content: [{ type: 'refusal', refusal: 'No.' }] }, question] })
    expect(refused.status).not.toBe('failed')
  })

  test.each([{ prompt_cache_key: 'a conversation' }, { service_tier: 'flex' as const }, { reasoning: { effort: 'none' as const } }])('%o leaves the text as it is', async (extra) => {
    expect((await ask(extra)).output_text).toBe((await ask()).output_text)
  })

  test('heeds instructions, and tells them', async () => {
    const response = await ask({ instructions: 'Speak like a pirate, always.' })
    expect(response.instructions).toBe('Speak like a pirate, always.')
    expect(response.usage?.input_tokens).not.toBe((await ask()).usage?.input_tokens)
  })

  test('is incomplete at the limit, and says why', async () => {
    const response = await ask({ input: 'Tell me a story.', max_output_tokens: 3 })
    expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })
    expect(response.usage?.output_tokens).toBe(3)
    const events = await eventsOf({ input: 'Tell me a story.', max_output_tokens: 3 })
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } } })
  })

  test('tells what it was asked with', async () => {
    const response = await ask({ top_p: 0.5, metadata: { a: 'b' }, parallel_tool_calls: false, max_output_tokens: 20 })
    expect(response).toMatchObject({ temperature: 0, top_p: 0.5, metadata: { a: 'b' }, parallel_tool_calls: false, max_output_tokens: 20 })
  })

  test('keeps to a zod schema', async () => {
    const Answer = z.strictObject({ capital: z.string().max(20), sure: z.boolean() })
    const response = await client.responses.parse({ model: platform.model, input: 'Name the capital of France.', temperature: 1.5, text: { format: zodTextFormat(Answer, 'answer') } })
    expect(Answer.parse(response.output_parsed)).toBeTypeOf('object')
  })

  test('gives a JSON object', async () => {
    const response = await ask({ text: { format: { type: 'json_object' } }, max_output_tokens: 300 })
    expect(response.output_text).toMatch(/^\s*\{/)
    const schema = { type: 'object', properties: {}, additionalProperties: false }
    expect((await ask({ text: { format: { type: 'json_schema', name: 'nothing', description: 'Nothing.', strict: true, schema } } })).output_text).toMatch(/^\{\s*\}$/)
  })

  test('calls a tool that is demanded, with arguments that keep to its schema', async () => {
    for (const choice of ['required', { type: 'function', name: 'get_weather' }] as const) {
      const response = await ask({ tools: [tool], tool_choice: choice, max_output_tokens: 120, parallel_tool_calls: false })
      const call = response.output.find((item) => item.type === 'function_call')
      expect(call?.name).toBe('get_weather')
      expect(parseJson(call?.arguments ?? '')).toEqual({ city: expect.any(String) as string })
    }
  })

  test('tells log-probabilities when asked to', async () => {
    const response = await ask({ include: ['message.output_text.logprobs'], top_logprobs: 2 })
    const [item] = response.output
    const logprobs = item?.type === 'message' && item.content[0]?.type === 'output_text' ? (item.content[0].logprobs ?? []) : []
    expect(logprobs.length).toBeGreaterThan(3)
    expect(logprobs.every(({ top_logprobs: top }) => top.length === 2)).toBe(true)
  })

  test('streams the same text', async () => {
    const events = await eventsOf({ input: 'Name the capital of France.', temperature: 0, max_output_tokens: 16, stream_options: { include_obfuscation: false } })
    const text = only(events, 'response.output_text.delta').map(({ delta }) => delta).join('')
    expect(text).toBe((await ask()).output_text)
  })

  const refused: [string, object, string][] = [
    ['previous_response_id', { previous_response_id: 'resp_1' }, 'previous_response_id'],
    ['conversation', { conversation: 'conv_1' }, 'conversation'],
    ['store', { store: true }, 'store'],
    ['background', { background: true }, 'background'],
    ['a tool of OpenAI’s own', { tools: [{ type: 'web_search' }] }, 'tools'],
    ['a stored prompt', { prompt: { id: 'pmpt_1' } }, 'prompt'],
    ['an input that refers to something kept', { input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input'],
    ['a file', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] }, 'input'],
  ]

  test.each(refused)('%s is refused with its name', async (_, extra, param) => {
    await expect(ask(extra)).rejects.toMatchObject({ status: 400, param: expect.stringContaining(param) as string, message: expect.stringMatching(/./) as string })
  })

  test('is sent wherever it is supported, by a test above', async () => {
    const sent = wire.placesSent('/v1/responses')
    const supported = await supportedPlaces(platform, '/v1/responses')
    expect(supported.length).toBeGreaterThan(20)
    expect(supported.filter((place) => !sent.has(place))).toEqual([])
  })
})

describe('responses, with a model that reasons and calls', () => {
  const answer = '<think>\nWeather, then.\n</think>\n\nLet me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Łódź"}}\n</tool_call>'

  beforeAll(() => begin(playedPlatform({ text: answer })))
  afterAll(() => platform.stop())
  afterEach(() => wire.verify())

  test('gives reasoning, a message and the calls as items of their own', async () => {
    const response = await client.responses.create({ model: platform.model, input: 'How is the weather?', tools: [tool] })
    expect(response.status).toBe('completed')
    expect(response.output.map(({ type }) => type)).toEqual(['reasoning', 'message', 'function_call', 'function_call'])
    expect(new Set(response.output.map(({ id }) => id)).size).toBe(4)
    const calls = response.output.filter((item) => item.type === 'function_call')
    expect(calls.map((call) => parseJson(call.arguments))).toEqual([{ city: 'Rome' }, { city: 'Łódź' }])
    expect(new Set(calls.map(({ call_id: id }) => id)).size).toBe(2)
    expect(response.output_text.trim()).toBe('Let me see.')
    expect(response.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(0)
  })

  test('streams all events in order', async () => {
    const events = await eventsOf({ tools: [tool] })
    const itemOf = (kind: string): string[] => ['output_item.added', 'content_part.added', `${kind}.delta`, `${kind}.done`, 'content_part.done', 'output_item.done']
    const call = ['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.done', 'output_item.done']
    expect(orderOf(events)).toEqual([
      'created',
      'in_progress',
      ...itemOf('reasoning_text'),
      ...itemOf('output_text'),
      ...call,
      ...call,
      'completed',
    ])
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index))
  })

  test('streams pieces that make up what the last event holds', async () => {
    const events = await eventsOf({ tools: [tool] })
    const [completed] = only(events, 'response.completed')
    const response = completed?.response
    for (const [index, item] of (response?.output ?? []).entries()) {
      const added = only(events, 'response.output_item.added').find(({ output_index: at }) => at === index)
      const done = only(events, 'response.output_item.done').find(({ output_index: at }) => at === index)
      expect(added?.item.id).toBe(item.id)
      expect(done?.item).toEqual(item)
      const deltas = events.filter((event) => 'delta' in event && 'output_index' in event && event.output_index === index).map((event) => ('delta' in event && typeof event.delta === 'string' ? event.delta : ''))
      const text = item.type === 'function_call' ? item.arguments : item.type === 'message' || item.type === 'reasoning' ? textOf(item) : ''
      expect(deltas.join('')).toBe(text)
    }
    const [created] = only(events, 'response.created')
    expect(created?.response).toMatchObject({ id: response?.id, status: 'in_progress', output: [] })
  })

  test('is put together by the client’s own stream helper', async () => {
    const final = await client.responses.stream({ model: platform.model, input: 'How is the weather?', tools: [tool] }).finalResponse()
    expect(final.output.map(({ type }) => type)).toEqual(['reasoning', 'message', 'function_call', 'function_call'])
  })

  test('takes back calls, what they gave, and reasoning', async () => {
    const first = await client.responses.create({ model: platform.model, input: 'How is the weather?', tools: [tool] })
    const calls = first.output.filter((item) => item.type === 'function_call')
    const outputs = calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'sunny' }))
    const second = await client.responses.create({ model: platform.model, input: [{ role: 'user', content: 'How is the weather?' }, ...asInput(first), ...outputs], tools: [tool] })
    expect(second.usage?.input_tokens).toBeGreaterThan((first.usage?.input_tokens ?? 0) + 20)
  })
})

function textOf(item: OpenAI.Responses.ResponseOutputMessage | OpenAI.Responses.ResponseReasoningItem): string {
  return (item.content ?? []).map((part) => ('text' in part ? part.text : '')).join('')
}
