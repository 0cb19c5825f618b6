import Anthropic from '@anthropic-ai/sdk'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { supportedParameters, supportedPlaces } from './support/openapi.ts'
import { playedPlatform, realPlatform } from './support/platforms.ts'
import { checkedFetch, type CheckedFetch } from './wire/checked-fetch.ts'

type Message = Anthropic.Message
type Params = Anthropic.MessageCreateParamsNonStreaming

let platform: Platform
let client: Anthropic
let wire: CheckedFetch

async function begin(started: Promise<Platform>): Promise<void> {
  platform = await started
  trust(platform)
  wire = checkedFetch()
  client = new Anthropic({ baseURL: platform.url, apiKey: platform.key, maxRetries: 0, fetch: wire.fetch })
}

const question = 'Name the capital of France.'

const greedy: object = { temperature: 0 }

/** `sampling` is what Anthropic's API has, but the client's types no longer. */
async function ask(params: Partial<Params> = {}, sampling: object = greedy): Promise<Message> {
  return await client.messages.create({ model: platform.model, max_tokens: 16, messages: [{ role: 'user', content: question }], ...sampling, ...params })
}

function textOf({ content }: Message): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}

const tool: Anthropic.Tool = { name: 'get_weather', description: 'Tells the weather.', input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false } }

describe('messages, with the real model', () => {
  beforeAll(() => begin(realPlatform()))
  afterAll(() => platform.stop())
  afterEach(() => wire.verify())

  const effects: Record<string, () => Promise<void>> = {
    async model() {
      expect((await ask()).model).toBe(platform.model)
    },
    async messages() {
      expect(textOf(await ask())).toContain('Paris')
      const parts = await ask({ messages: [{ role: 'user', content: [{ type: 'text', text: 'Name the capital ' }, { type: 'text', text: 'of France.' }] }] })
      expect(parts.content).toHaveLength(1)
      const history = await ask({ messages: [{ role: 'user', content: question }, { role: 'assistant', content: [{ type: 'text', text: 'Paris.' }] }, { role: 'user', content: 'And of Italy?' }] })
      expect(history.usage.input_tokens).toBeGreaterThan(parts.usage.input_tokens + 8)
      const used: Anthropic.MessageParam[] = [
        { role: 'user', content: question },
        { role: 'assistant', content: [{ type: 'thinking', thinking: 'I must look.', signature: '' }, { type: 'tool_use', id: 'toolu_1', name: 'look_up', input: { what: 'France' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', is_error: false, content: [{ type: 'text', text: 'Paris' }] }, { type: 'text', text: 'So?' }] },
      ]
      expect((await ask({ messages: used })).usage.input_tokens).toBeGreaterThan(parts.usage.input_tokens + 8)
    },
    async max_tokens() {
      const message = await ask({ max_tokens: 3, messages: [{ role: 'user', content: 'Tell me a story.' }] })
      expect(message).toMatchObject({ stop_reason: 'max_tokens', stop_sequence: null, usage: { output_tokens: 3 } })
    },
    async system() {
      const [without, text, blocks] = [await ask(), await ask({ system: 'Be terse, always.' }), await ask({ system: [{ type: 'text', text: 'Be terse, always.' }] })]
      expect(text.usage.input_tokens).not.toBe(without?.usage.input_tokens)
      expect(blocks.usage.input_tokens).toBe(text.usage.input_tokens)
    },
    async stop_sequences() {
      const whole = textOf(await ask())
      const stop = whole.slice(5, 10)
      const message = await ask({ stop_sequences: ['never said', stop] })
      expect(message).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: stop })
      expect(textOf(message)).toBe(whole.slice(0, whole.indexOf(stop)))
    },
    async temperature() {
      expect(textOf(await ask())).toBe(textOf(await ask()))
      await expect(ask({}, { temperature: 3 })).rejects.toMatchObject({ status: 400 })
    },
    async top_p() {
      expect(textOf(await ask({}, { temperature: 1, top_p: 0.000001 }))).toBe(textOf(await ask()))
    },
    async top_k() {
      expect(textOf(await ask({}, { temperature: 1, top_k: 1 }))).toBe(textOf(await ask()))
    },
    async stream() {
      const stream = client.messages.stream({ model: platform.model, max_tokens: 16, messages: [{ role: 'user', content: question }], ...greedy })
      const message = await stream.finalMessage()
      expect(textOf(message)).toBe(textOf(await ask()))
      expect(message.stop_reason).toBe((await ask()).stop_reason)
      expect(message.usage.output_tokens).toBe((await ask()).usage.output_tokens)
      expect(message.usage.input_tokens).toBe((await ask()).usage.input_tokens)
    },
    async tools() {
      const message = await ask({ tools: [tool], tool_choice: { type: 'any', disable_parallel_tool_use: true }, max_tokens: 120 })
      expect(message.stop_reason).toBe('tool_use')
      const strict = await ask({ tools: [{ ...tool, type: 'custom', strict: true }], tool_choice: { type: 'any' }, max_tokens: 120 })
      expect(strict.stop_reason).toBe('tool_use')
      const use = message.content.find((block) => block.type === 'tool_use')
      expect(use).toMatchObject({ name: 'get_weather', input: { city: expect.any(String) as string } })
    },
    async tool_choice() {
      const second = { ...tool, name: 'get_tides' }
      const named = await ask({ tools: [tool, second], tool_choice: { type: 'tool', name: 'get_tides' }, max_tokens: 120 })
      expect(named.content.flatMap((block) => (block.type === 'tool_use' ? [block.name] : []))).toContain('get_tides')
      const none = await ask({ tools: [tool], tool_choice: { type: 'none' } })
      expect(none.content.every(({ type }) => type === 'text')).toBe(true)
      expect((await ask({ tools: [tool], tool_choice: { type: 'auto' } })).content.length).toBeGreaterThan(0)
    },
    async thinking() {
      expect(textOf(await ask({ thinking: { type: 'disabled' } }))).toContain('Paris')
      // What it does to a model that reasons: reasoning.test.ts.
      expect(textOf(await ask({ thinking: { type: 'enabled', budget_tokens: 1024, display: 'omitted' } }))).toContain('Paris')
    },
    async output_config() {
      const schema = { type: 'object', properties: { capital: { type: 'string', maxLength: 20 } }, required: ['capital'], additionalProperties: false }
      const message = await ask({ max_tokens: 60, output_config: { format: { type: 'json_schema', schema } } })
      expect(parseJson(textOf(message))).toEqual({ capital: expect.any(String) as string })
      expect(textOf(await ask({ output_config: { effort: 'low' } }))).toContain('Paris')
    },
    async metadata() {
      expect(textOf(await ask({ metadata: { user_id: 'anne' } }))).toBe(textOf(await ask()))
    },
  }

  test.each(Object.entries(effects))('%s', async (_, effect) => await effect())

  test('every parameter is in this table', async () => {
    const supported = await supportedParameters(platform, '/v1/messages')
    expect(supported.length).toBeGreaterThan(8)
    expect(supported.filter((name) => effects[name] === undefined)).toEqual([])
  })

  test('count_tokens tells what a message would be', async () => {
    const messages = [{ role: 'user' as const, content: question }]
    for (const extra of [{}, { system: 'Be terse.' }, { tools: [tool] }]) {
      const { input_tokens: counted } = await client.messages.countTokens({ model: platform.model, messages, ...extra })
      expect(counted).toBe((await ask({ messages, ...extra })).usage.input_tokens)
    }
  })

  test('the client’s errors are what they should be', async () => {
    const stranger = new Anthropic({ baseURL: platform.url, apiKey: 'sk-im-wrong', maxRetries: 0, fetch: wire.fetch })
    await expect(stranger.messages.create({ model: platform.model, max_tokens: 1, messages: [{ role: 'user', content: 'x' }] })).rejects.toBeInstanceOf(Anthropic.AuthenticationError)
    await expect(ask({ model: 'nope' })).rejects.toBeInstanceOf(Anthropic.NotFoundError)
    await expect(ask({ max_tokens: 0 })).rejects.toBeInstanceOf(Anthropic.BadRequestError)
    await expect(ask({ messages: [{ role: 'user', content: 'word '.repeat(10_000) }] })).rejects.toMatchObject({
      status: 400,
      error: { type: 'error', error: { type: 'invalid_request_error', message: expect.stringMatching(/\d+.*\d+/) as string } },
    })
    await expect(client.messages.countTokens({ model: 'nope', messages: [{ role: 'user', content: 'x' }] })).rejects.toBeInstanceOf(Anthropic.NotFoundError)
  })

  const refused: [string, object, RegExp][] = [
    ['an image', { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } }] }] }, /messages\[0\]|messages\.0/],
    ['a tool of Anthropic’s own', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, /tools/],
    ['MCP servers', { mcp_servers: [{ type: 'url', url: 'https://example.org', name: 'x' }] }, /mcp_servers/],
    ['a choice that names no tool', { tools: [tool], tool_choice: { type: 'tool', name: 'nope' } }, /tool_choice/],
  ]

  test.each(refused)('%s is refused with its place', async (_, extra, place) => {
    await expect(ask(extra)).rejects.toMatchObject({ status: 400, error: { error: { type: 'invalid_request_error', message: expect.stringMatching(place) as string } } })
  })

  test('is sent wherever it is supported, by a test above', async () => {
    const sent = wire.placesSent('/v1/messages')
    const supported = await supportedPlaces(platform, '/v1/messages')
    expect(supported.length).toBeGreaterThan(20)
    expect(supported.filter((place) => !sent.has(place))).toEqual([])
  })
})

describe('messages, with a model that thinks and calls', () => {
  const answer = '<think>\nWeather, then.\n</think>\n\nLet me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Łódź"}}\n</tool_call>'
  const body = { max_tokens: 2000, messages: [{ role: 'user' as const, content: 'How is the weather?' }], tools: [tool] }

  beforeAll(() => begin(playedPlatform({ text: answer })))
  afterAll(() => platform.stop())
  afterEach(() => wire.verify())

  test('gives thinking, text and tool uses as blocks', async () => {
    const message = await client.messages.create({ model: platform.model, ...body })
    expect(message.stop_reason).toBe('tool_use')
    expect(message.content.map(({ type }) => type)).toEqual(['thinking', 'text', 'tool_use', 'tool_use'])
    expect(message.content.flatMap((block) => (block.type === 'tool_use' ? [block.input] : []))).toEqual([{ city: 'Rome' }, { city: 'Łódź' }])
    expect(textOf(message).trim()).toBe('Let me see.')
  })

  test('streams events in order', async () => {
    const order: string[] = []
    for await (const event of await client.messages.create({ model: platform.model, ...body, stream: true })) {
      const name = event.type === 'content_block_delta' ? event.delta.type : event.type === 'content_block_start' ? `start ${event.content_block.type}` : event.type
      if (order.at(-1) !== name) order.push(name)
    }
    const use = ['start tool_use', 'input_json_delta', 'content_block_stop']
    expect(order.filter((name) => name !== 'signature_delta')).toEqual([
      'message_start',
      'start thinking',
      'thinking_delta',
      'content_block_stop',
      'start text',
      'text_delta',
      'content_block_stop',
      ...use,
      ...use,
      'message_delta',
      'message_stop',
    ])
  })

  test('is put together by the client’s own stream helper', async () => {
    const message = await client.messages.stream({ model: platform.model, ...body }).finalMessage()
    expect(message.content.flatMap((block) => (block.type === 'tool_use' ? [block.input] : []))).toEqual([{ city: 'Rome' }, { city: 'Łódź' }])
    expect(message.stop_reason).toBe('tool_use')
  })

  test('takes back thinking, tool uses and their results', async () => {
    const first = await client.messages.create({ model: platform.model, ...body })
    const results = first.content.flatMap((block) => (block.type === 'tool_use' ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: [{ type: 'text' as const, text: 'sunny' }] }] : []))
    const second = await client.messages.create({ model: platform.model, ...body, messages: [...body.messages, { role: 'assistant', content: first.content }, { role: 'user', content: results }] })
    expect(second.usage.input_tokens).toBeGreaterThan(first.usage.input_tokens + 20)
  })

  test('without tools, the markup is text', async () => {
    const { tools: _, ...rest } = body
    const message = await client.messages.create({ model: platform.model, ...rest })
    expect(message.stop_reason).toBe('end_turn')
    expect(textOf(message)).toContain('<tool_call>')
  })
})
