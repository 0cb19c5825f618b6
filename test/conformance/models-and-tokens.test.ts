import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { supportedParameters } from './support/openapi.ts'
import { playedPlatform } from './support/platforms.ts'
import { post } from './support/post.ts'

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

beforeAll(async () => {
  platform = await playedPlatform({ tokens: 2 })
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
})
afterAll(() => platform.stop())
afterEach(() => wire.verify())

describe('models', () => {
  test('are listed, with what they are', async () => {
    const models: OpenAI.Model[] = []
    for await (const model of client.models.list()) models.push(model)
    expect(models).toEqual([
      expect.objectContaining({
        id: platform.model,
        object: 'model',
        context_length: expect.any(Number) as number,
        capabilities: expect.arrayContaining(['chat', 'completion', 'tools', 'reasoning']) as string[],
        architecture: 'llama',
        licence: 'Apache-2.0',
        quantisation: expect.stringMatching(/^Q4_/) as string,
        openness: { weights: true, code: true, data: true, paper: true },
      }),
    ])
    expect(models[0]).toHaveProperty('digest')
  })

  test('are told one by one', async () => {
    const [listed] = (await client.models.list()).data
    expect(await client.models.retrieve(platform.model)).toEqual(listed)
    await expect(client.models.retrieve('nope')).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
    await expect(client.models.retrieve('a/b c%')).rejects.toMatchObject({ status: 404 })
  })
})

async function ask<Answer = { tokens: number[]; count: number; max_model_len: number }>(path: string, body: object): Promise<Answer> {
  const response = await post(platform, path, body)
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status })
  return (await response.json()) as Answer
}

const messages = [{ role: 'user', content: 'How warm is it?' }]
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } }]

/** Nobody's client has these: what llama-server and vLLM answer is the measure. */
const tokenize: Record<string, () => Promise<void>> = {
  async model() {
    expect(await ask('/tokenize', { model: platform.model, content: 'Hello' })).toEqual(await ask('/tokenize', { content: 'Hello' }))
    await expect(ask('/tokenize', { model: 'nope', content: 'Hello' })).rejects.toMatchObject({ status: 404 })
  },
  async content() {
    const { tokens, count, max_model_len: most } = await ask('/tokenize', { content: 'Hello, Łódź 🌞' })
    expect(count).toBe(tokens.length)
    expect(most).toBeGreaterThan(0)
    expect(await ask('/detokenize', { tokens })).toEqual({ content: 'Hello, Łódź 🌞', prompt: 'Hello, Łódź 🌞' })
  },
  async prompt() {
    expect((await ask('/tokenize', { prompt: 'Hello' })).tokens).toEqual((await ask('/tokenize', { content: 'Hello', add_special: true })).tokens)
  },
  async messages() {
    const { tokens } = await ask('/tokenize', { messages })
    const completion = await client.chat.completions.create({ model: platform.model, messages: [{ role: 'user', content: 'How warm is it?' }] })
    expect(tokens).toHaveLength(completion.usage?.prompt_tokens ?? -1)
    const { prompt } = await ask<{ prompt: string }>('/apply-template', { messages })
    expect((await ask('/tokenize', { content: prompt })).tokens).toEqual(tokens)
  },
  async tools() {
    expect((await ask('/tokenize', { messages, tools })).count).toBeGreaterThan((await ask('/tokenize', { messages })).count)
  },
  async tool_choice() {
    expect((await ask('/tokenize', { messages, tools, tool_choice: 'auto' })).count).toBe((await ask('/tokenize', { messages, tools })).count)
  },
  async chat_template_kwargs() {
    expect((await ask('/tokenize', { messages, chat_template_kwargs: { enable_thinking: false } })).count).toBeGreaterThan((await ask('/tokenize', { messages })).count)
  },
  async reasoning_effort() {
    expect((await ask('/tokenize', { messages, reasoning_effort: 'none' })).count).toBeGreaterThan((await ask('/tokenize', { messages })).count)
  },
  async add_generation_prompt() {
    expect((await ask('/tokenize', { messages, add_generation_prompt: false })).count).toBeLessThan((await ask('/tokenize', { messages })).count)
  },
  async add_special() {
    expect((await ask('/tokenize', { content: 'Hello', add_special: false })).count).toBeLessThanOrEqual((await ask('/tokenize', { content: 'Hello', add_special: true })).count)
  },
  async add_special_tokens() {
    expect((await ask('/tokenize', { prompt: 'Hello', add_special_tokens: false })).tokens).toEqual((await ask('/tokenize', { content: 'Hello' })).tokens)
  },
  async parse_special() {
    const spelt = await ask('/tokenize', { content: '<|im_end|>', parse_special: false })
    expect((await ask('/tokenize', { content: '<|im_end|>', parse_special: true })).count).toBe(1)
    expect(spelt.count).toBeGreaterThan(1)
  },
  async with_pieces() {
    const { tokens } = await ask<{ tokens: { id: number; piece: string }[] }>('/tokenize', { content: 'Hello there', with_pieces: true })
    expect(tokens.map(({ piece }) => piece).join('')).toBe('Hello there')
    const { tokens: broken } = await ask<{ tokens: { piece: string | number[] }[] }>('/tokenize', { content: '🫠', with_pieces: true })
    const bytes = broken.flatMap(({ piece }) => (typeof piece === 'string' ? [...Buffer.from(piece)] : piece))
    expect(Buffer.from(bytes).toString()).toBe('🫠')
  },
  async return_token_strs() {
    const { tokens, token_strs: texts } = await ask<{ tokens: number[]; token_strs: string[] }>('/tokenize', { content: 'Hello there', return_token_strs: true })
    expect(texts).toHaveLength(tokens.length)
  },
}

describe('/tokenize', () => {
  test.each(Object.entries(tokenize))('%s', async (_, effect) => await effect())

  test('every parameter is in this table', async () => {
    const supported = await supportedParameters(platform, '/tokenize')
    expect(supported.length).toBeGreaterThan(8)
    expect(supported.filter((name) => tokenize[name] === undefined)).toEqual([])
  })

  test('wants exactly one text', async () => {
    await expect(ask('/tokenize', {})).rejects.toMatchObject({ status: 400 })
    await expect(ask('/tokenize', { content: 'a', prompt: 'b' })).rejects.toMatchObject({ status: 400 })
  })
})

describe('/detokenize', () => {
  test('refuses what is no token', async () => {
    for (const tokens of [[-1], [2 ** 30], [1.5], ['a'], 'a']) await expect(ask('/detokenize', { tokens })).rejects.toMatchObject({ status: 400 })
  })
})

describe('/apply-template', () => {
  test('shows the prompt of a conversation, with tools and variables', async () => {
    const { prompt } = await ask<{ prompt: string }>('/apply-template', { messages })
    expect(prompt).toBe('<|im_start|>user\nHow warm is it?<|im_end|>\n<|im_start|>assistant\n')
    expect((await ask<{ prompt: string }>('/apply-template', { messages, tools })).prompt).toContain('"get_weather"')
    expect((await ask<{ prompt: string }>('/apply-template', { messages, chat_template_kwargs: { enable_thinking: false } })).prompt).toMatch(/<think>\n\n<\/think>\n\n$/)
    expect((await ask<{ prompt: string }>('/apply-template', { messages, add_generation_prompt: false })).prompt).toMatch(/<\|im_end\|>\n$/)
  })
})

describe('/openapi.json', () => {
  test('describes what is served, without a key', async () => {
    const response = await fetch(`${platform.url}/openapi.json`)
    const document = (await response.json()) as { openapi: string; paths: object }
    expect(document.openapi).toBe('3.1.0')
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages', '/v1/messages/count_tokens', '/v1/embeddings', '/v1/models', '/v1/models/{model}', '/tokenize', '/detokenize', '/apply-template']) as string[],
    )
  })
})
