import Anthropic from '@anthropic-ai/sdk'
import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { playedPlatform } from './support/platforms.ts'
import { reasoningModel } from './support/tool-model.ts'
import { checkedFetch, type CheckedFetch } from './wire/checked-fetch.ts'

const thoughts = 'Well, well, well. '.repeat(20).trim()

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']
let claude: Anthropic
let claudesWire: CheckedFetch

async function begin(started: Promise<Platform>): Promise<void> {
  platform = await started
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
  claudesWire = checkedFetch()
  claude = new Anthropic({ baseURL: platform.url, apiKey: platform.key, maxRetries: 0, fetch: claudesWire.fetch })
}

function verify(): void {
  wire.verify()
  claudesWire.verify()
}

const messages = [{ role: 'user' as const, content: 'Is it?' }]

interface Reasoned {
  content?: string | null
  reasoning_content?: string
}

async function ask(extra: object = {}): Promise<{ message: Reasoned; usage: OpenAI.CompletionUsage | undefined }> {
  const { choices, usage } = await client.chat.completions.create({ model: platform.model, messages, ...extra })
  return { message: choices[0]?.message ?? {}, usage }
}

describe('a model that reasons', () => {
  beforeAll(() => begin(playedPlatform({ text: `<think>\n${thoughts}\n</think>\n\nYes.` })))
  afterAll(() => platform.stop())
  afterEach(verify)

  test('is told apart from its answer, whole and streamed, and counted', async () => {
    const { message, usage } = await ask()
    expect(message).toMatchObject({ content: 'Yes.', reasoning_content: thoughts })
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(20)
    const streamed = { content: '', reasoning_content: '' }
    for await (const { choices } of await client.chat.completions.create({ model: platform.model, messages, stream: true })) {
      const delta = (choices[0]?.delta ?? {}) as Reasoned
      streamed.content += delta.content ?? ''
      streamed.reasoning_content += delta.reasoning_content ?? ''
    }
    expect(streamed).toEqual({ content: 'Yes.', reasoning_content: thoughts })
  })

  test('messages: is a block of thinking, or not shown', async () => {
    const body = { model: platform.model, max_tokens: 3000, messages }
    const { content } = await claude.messages.create(body)
    expect(content).toMatchObject([{ type: 'thinking', thinking: thoughts }, { type: 'text', text: 'Yes.' }])
    const hidden = await claude.messages.create({ ...body, thinking: { type: 'enabled', budget_tokens: 2000, display: 'omitted' } })
    expect(JSON.stringify(hidden.content)).not.toContain('well')
    expect(hidden.content.at(-1)).toMatchObject({ type: 'text', text: 'Yes.' })
  })
})

describe('a budget of reasoning, with the real model', () => {
  beforeAll(async () => await begin(startPlatform({ realModel: true, modelPath: await reasoningModel(), env: { INTRAMUROS_INFERENCE_WORKER_THREADS: '1' } })))
  afterAll(() => platform.stop())
  afterEach(verify)

  const story = 'Tell me a long story about a dragon and a knight.'
  const greedy = { temperature: 0, max_tokens: 60, messages: [{ role: 'user', content: story }] }

  test.each(['thinking_budget_tokens', 'reasoning_budget_tokens'])('%s bounds it: then the answer begins', async (name) => {
    const { message, usage } = await ask({ ...greedy, [name]: 12 })
    expect(message.reasoning_content?.length).toBeGreaterThan(10)
    expect(message.content?.length).toBeGreaterThan(0)
    expect(message.content).not.toContain('think>')
    // About the budget: the tokens that begin and end it are counted or not.
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThanOrEqual(10)
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBeLessThan(20)
  })

  test('without one, it takes what it takes', async () => {
    const { message, usage } = await ask(greedy)
    expect(message.reasoning_content?.length).toBeGreaterThan(0)
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThanOrEqual(20)
  })

  test('of nothing, the answer begins at once', async () => {
    const { message } = await ask({ ...greedy, thinking_budget_tokens: 0 })
    expect(message.reasoning_content?.trim() ?? '').toBe('')
    expect(message.content?.length).toBeGreaterThan(0)
  })

  const schema = { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'], additionalProperties: false }
  const format = { response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } } }

  test('structured output comes after it', async () => {
    const { message } = await ask({ ...greedy, ...format, thinking_budget_tokens: 12 })
    expect(message.reasoning_content?.length).toBeGreaterThan(10)
    expect(parseJson(message.content)).toEqual({ sure: expect.any(Boolean) as boolean })
  })

  test('structured output comes after it, also when the model would rather end', async () => {
    // To this, it has nothing to say but a few words of reasoning. It may not end after them, and goes on to the budget.
    const { message } = await ask({ ...greedy, ...format, messages, thinking_budget_tokens: 24 })
    expect(parseJson(message.content)).toEqual({ sure: expect.any(Boolean) as boolean })
  })

  test('messages: bounds the thinking', async () => {
    // Not in the client's types any more.
    const sure: object = { temperature: 0 }
    const { content } = await claude.messages.create({ ...sure, model: platform.model, max_tokens: 60, messages: [{ role: 'user', content: story }], thinking: { type: 'enabled', budget_tokens: 12 } })
    expect(content.map(({ type }) => type)).toEqual(['thinking', 'text'])
  })
})
