import { createOpenAICompatible, type OpenAICompatibleProvider } from '@ai-sdk/openai-compatible'
import { APICallError, embed, embedMany, generateObject, generateText, streamObject, streamText, tool, type ToolSet } from 'ai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Platform } from '../support/platform.ts'
import { trust } from './support/clients.ts'
import { playedPlatform, realPlatform } from './support/platforms.ts'
import { checkedFetch, type CheckedFetch } from './wire/checked-fetch.ts'

let platform: Platform
let provider: OpenAICompatibleProvider
let wire: CheckedFetch

async function begin(started: Promise<Platform>): Promise<void> {
  platform = await started
  trust(platform)
  wire = checkedFetch()
  provider = createOpenAICompatible({ name: 'intramuros', baseURL: `${platform.url}/v1`, apiKey: platform.key, includeUsage: true, supportsStructuredOutputs: true, fetch: wire.fetch })
}

describe('the ai package, with the real model', () => {
  beforeAll(() => begin(realPlatform({ embeddings: true })))
  afterAll(() => platform.stop())
  afterEach(() => wire.verify())

  const prompt = 'Name the capital of France.'

  test('generates and streams the same text, with usage', async () => {
    const options = { model: provider(platform.model), prompt, temperature: 0, maxOutputTokens: 12 }
    const whole = await generateText(options)
    expect(whole.text).toContain('Paris')
    const streamed = streamText(options)
    expect(await streamed.text).toBe(whole.text)
    expect((await streamed.usage).outputTokens).toBe(whole.usage.outputTokens)
    expect(await streamed.finishReason).toBe(whole.finishReason)
  })

  test('takes its settings', async () => {
    const { text } = await generateText({
      model: provider(platform.model),
      instructions: 'Be terse.',
      messages: [{ role: 'user', content: [{ type: 'text', text: prompt }] }],
      temperature: 0.5,
      topP: 0.9,
      presencePenalty: 0.5,
      frequencyPenalty: 0.5,
      seed: 1,
      stopSequences: ['never said'],
      maxOutputTokens: 8,
    })
    expect(text.length).toBeGreaterThan(0)
  })

  const schema = z.strictObject({ name: z.string().max(20), age: z.int().min(0).max(120) })

  test('generates and streams an object that keeps to a schema', async () => {
    const options = { model: provider(platform.model), prompt: 'Invent a person.', schema, temperature: 1.5, seed: 1 }
    expect(schema.parse((await generateObject(options)).object)).toBeTypeOf('object')
    const { partialObjectStream, object } = streamObject(options)
    let partial = 0
    for await (const _ of partialObjectStream) partial += 1
    expect(partial).toBeGreaterThan(1)
    expect(schema.parse(await object)).toBeTypeOf('object')
  })

  test('calls a demanded tool, with input that keeps to its schema', async () => {
    const { toolCalls, finishReason } = await generateText({ model: provider(platform.model), prompt: 'Invent a person.', tools: { save: tool({ inputSchema: schema }) }, toolChoice: 'required', temperature: 1, seed: 1 })
    expect(finishReason).toBe('tool-calls')
    expect(schema.parse(toolCalls[0]?.input)).toBeTypeOf('object')
  })

  test('completes a text', async () => {
    const { text } = await generateText({ model: provider.completionModel(platform.model), prompt: 'The capital of France is', temperature: 0, maxOutputTokens: 6 })
    expect(text).toContain('Paris')
  })

  test('embeds one and many', async () => {
    const model = provider.embeddingModel(platform.embeddingModel)
    const one = await embed({ model, value: 'A cat.' })
    const many = await embedMany({ model, values: ['A cat.', 'A share.'] })
    expect(one.embedding).toHaveLength(384)
    expect(many.embeddings).toHaveLength(2)
    expect(one.usage.tokens).toBeGreaterThan(0)
  })

  test('throws an error that tells the status and the message', async () => {
    const asked = generateText({ model: provider('nope'), prompt, maxRetries: 0 })
    await expect(asked).rejects.toBeInstanceOf(APICallError)
    await expect(asked).rejects.toMatchObject({ statusCode: 404, message: expect.stringContaining('model') as string })
  })
})

describe('the ai package, with a model that reasons and calls', () => {
  const answer = '<think>\nWeather, then.\n</think>\n\nLet me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Łódź"}}\n</tool_call>'
  const tools: ToolSet = { get_weather: tool({ description: 'Tells the weather.', inputSchema: z.strictObject({ city: z.string() }) }) }

  beforeAll(() => begin(playedPlatform({ text: answer })))
  afterAll(() => platform.stop())
  afterEach(() => wire.verify())

  test('tells reasoning, text and calls apart', async () => {
    const { reasoningText, text, toolCalls, finishReason } = await generateText({ model: provider(platform.model), prompt: 'How is the weather?', tools })
    expect(reasoningText?.trim()).toBe('Weather, then.')
    expect(text.trim()).toBe('Let me see.')
    expect(toolCalls).toEqual([expect.objectContaining({ toolName: 'get_weather', input: { city: 'Łódź' } })])
    expect(finishReason).toBe('tool-calls')
  })

  test('and in a stream', async () => {
    const seen: string[] = []
    const result = streamText({ model: provider(platform.model), prompt: 'How is the weather?', tools })
    for await (const { type } of result.fullStream) if (seen.at(-1) !== type) seen.push(type)
    expect(seen).toEqual(expect.arrayContaining(['reasoning-start', 'reasoning-delta', 'text-delta', 'tool-input-start', 'tool-input-delta', 'tool-call', 'finish']) as string[])
    expect(seen).not.toContain('error')
    expect(await result.toolCalls).toEqual([expect.objectContaining({ input: { city: 'Łódź' } })])
  })
})
