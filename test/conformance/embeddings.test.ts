import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { supportedParameters, supportedPlaces } from './support/openapi.ts'
import { realPlatform } from './support/platforms.ts'
import { post } from './support/post.ts'

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

beforeAll(async () => {
  platform = await realPlatform({ embeddings: true })
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
})
afterAll(() => platform.stop())
afterEach(() => wire.verify())

const cat = 'A cat sits on the mat.'
const kitten = 'A kitten is sitting on a rug.'
const shares = 'Share prices fell sharply on Tuesday.'

async function embed(params: Partial<OpenAI.EmbeddingCreateParams>): Promise<number[][]> {
  const { data } = await client.embeddings.create({ model: platform.embeddingModel, input: cat, ...params })
  expect(data.map(({ index }) => index)).toEqual(data.map((_, index) => index))
  return data.map(({ embedding }) => embedding)
}

function dot(a: readonly number[] = [], b: readonly number[] = []): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
}

const effects: Record<string, () => Promise<void>> = {
  async model() {
    const { model, usage } = await client.embeddings.create({ model: platform.embeddingModel, input: cat })
    expect(model).toBe(platform.embeddingModel)
    expect(usage.prompt_tokens).toBeGreaterThan(5)
    expect(usage.total_tokens).toBe(usage.prompt_tokens)
  },
  async input() {
    const [one] = await embed({})
    const [a, b, c] = await embed({ input: [cat, kitten, shares] })
    expect(dot(one, a)).toBeCloseTo(1, 3)
    expect(dot(a, b)).toBeGreaterThan(dot(a, c) + 0.2)
    const { tokens } = (await (await post(platform, '/tokenize', { model: platform.embeddingModel, content: cat, add_special: true })).json()) as { tokens: number[] }
    expect(dot((await embed({ input: tokens }))[0], one)).toBeCloseTo(1, 3)
    expect(dot((await embed({ input: [tokens, tokens] }))[1], one)).toBeCloseTo(1, 3)
  },
  async encoding_format() {
    const floats = await embed({ encoding_format: 'float', input: [cat, kitten] })
    // Without one, the client asks for base64 and decodes it.
    for (const [index, vector] of (await embed({ input: [cat, kitten] })).entries()) expect(dot(vector, floats[index])).toBeCloseTo(1, 5)
    const raw = await post(platform, '/v1/embeddings', { model: platform.embeddingModel, input: cat, encoding_format: 'base64' })
    const { data } = (await raw.json()) as { data: { embedding: string }[] }
    expect(Buffer.from(data[0]?.embedding ?? '', 'base64')).toHaveLength(384 * 4)
  },
  async dimensions() {
    const [whole = []] = await embed({ encoding_format: 'float' })
    const [short = []] = await embed({ encoding_format: 'float', dimensions: 64 })
    expect(short).toHaveLength(64)
    expect(Math.hypot(...short)).toBeCloseTo(1, 5)
    expect(dot(short, whole.slice(0, 64)) / Math.hypot(...whole.slice(0, 64))).toBeCloseTo(1, 5)
    await expect(embed({ dimensions: 100_000 })).rejects.toMatchObject({ status: 400, param: 'dimensions' })
    await expect(embed({ dimensions: 385 })).rejects.toMatchObject({ status: 400, param: 'dimensions' })
  },
}

describe('embeddings, through the openai client, with a real model', () => {
  test.each(Object.entries(effects))('%s', async (_, effect) => await effect())

  test('every parameter is in this table', async () => {
    const supported = await supportedParameters(platform, '/v1/embeddings')
    expect(supported.length).toBeGreaterThan(3)
    expect(supported.filter((name) => effects[name] === undefined)).toEqual([])
  })

  test('are of length 1', async () => {
    for (const vector of await embed({ encoding_format: 'float', input: [cat, shares, 'x', '🌞'] })) {
      expect(vector).toHaveLength(384)
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
    }
  })

  test('of a batch are in its order', async () => {
    const input = Array.from({ length: 40 }, (_, index) => `Sentence number ${index} about ${index % 2 === 0 ? 'cats' : 'money'}.`)
    const batch = await embed({ input })
    for (const index of [0, 17, 39]) expect(dot(batch[index], (await embed({ input: input[index] ?? '' }))[0])).toBeCloseTo(1, 3)
  })

  test('of a text that is too long are a 400 with both numbers', async () => {
    await expect(embed({ input: 'word '.repeat(3000) })).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded', message: expect.stringMatching(/\d+.*\d+/) as string })
  })

  test('user is taken, and of no effect', async () => {
    expect(dot((await embed({ user: 'anne' }))[0], (await embed({}))[0])).toBeCloseTo(1, 5)
  })

  test('of a chat model, and a chat with an embedding model, are refused', async () => {
    await expect(client.embeddings.create({ model: platform.model, input: cat })).rejects.toMatchObject({ status: 400, param: 'model' })
    await expect(client.chat.completions.create({ model: platform.embeddingModel, messages: [{ role: 'user', content: cat }] })).rejects.toMatchObject({ status: 400, param: 'model' })
  })

  const wrong: [string, unknown, string][] = [
    ['an empty text', '', 'input'],
    ['an empty batch', [], 'input'],
    ['a number', 3, 'input'],
    ['a token that is none', [2 ** 30], 'input'],
  ]

  test.each(wrong)('%s is a 400 with its place', async (_, input, param) => {
    await expect(embed({ input: input as string })).rejects.toMatchObject({ status: 400, param: expect.stringContaining(param) as string })
  })
})

describe('what is inside of parameters', () => {
  test('is sent by a test above wherever it is supported', async () => {
    const sent = wire.placesSent('/v1/embeddings')
    expect((await supportedPlaces(platform, '/v1/embeddings')).filter((place) => !sent.has(place))).toEqual([])
  })
})
