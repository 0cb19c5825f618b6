import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { withMetadata } from '../support/gguf-edit.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { supportedParameters, supportedPlaces } from './support/openapi.ts'
import { realPlatform } from './support/platforms.ts'
import { post } from './support/post.ts'

type Completion = OpenAI.Completion
type Params = OpenAI.CompletionCreateParamsNonStreaming

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

beforeAll(async () => {
  platform = await realPlatform()
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
})
afterAll(() => platform.stop())
afterEach(() => wire.verify())

const prompt = 'The capital of France is'

async function ask(params: Partial<Params> = {}, extra: object = {}): Promise<Completion> {
  return await client.completions.create({ model: platform.model, prompt, temperature: 0, max_tokens: 8, ...params, ...extra })
}

function textOf(completion: Completion, choice = 0): string {
  return completion.choices[choice]?.text ?? ''
}

async function tokensOf(text: string): Promise<number[]> {
  return ((await (await post(platform, '/tokenize', { content: text, add_special: true })).json()) as { tokens: number[] }).tokens
}

async function changesTheText(extra: object): Promise<void> {
  const body = { prompt: 'Once upon a time', max_tokens: 48 }
  expect(textOf(await ask(body, extra))).not.toBe(textOf(await ask(body)))
}

async function leavesTheText(extra: object): Promise<void> {
  expect(textOf(await ask({}, extra))).toBe(textOf(await ask()))
}

const effects: Record<string, () => Promise<void>> = {
  async model() {
    expect((await ask()).model).toBe(platform.model)
  },
  async prompt() {
    expect(textOf(await ask())).toContain('Paris')
    const batch = await ask({ prompt: [prompt, 'Two plus two is', prompt] })
    expect(batch.choices.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(textOf(batch, 2)).toBe(textOf(await ask()))
    const ids = await tokensOf(prompt)
    expect(textOf(await ask({ prompt: ids }))).toBe(textOf(await ask()))
    const idBatch = await ask({ prompt: [ids, await tokensOf('Two plus two is')] })
    expect([textOf(idBatch), textOf(idBatch, 1)]).toEqual([textOf(batch), textOf(batch, 1)])
  },
  async max_tokens() {
    expect((await ask({ max_tokens: 3 })).usage?.completion_tokens).toBe(3)
    const { max_tokens: _, ...rest } = { max_tokens: 0, prompt: 'Once upon a time' }
    const byDefault = await client.completions.create({ model: platform.model, ...rest })
    expect(byDefault.usage?.completion_tokens).toBeLessThanOrEqual(16)
  },
  async temperature() {
    expect(textOf(await ask({ temperature: 1.5, seed: 3 }))).toBe(textOf(await ask({ temperature: 1.5, seed: 3 })))
  },
  top_p: () => leavesTheText({ temperature: 1, top_p: 0 }),
  top_k: () => leavesTheText({ temperature: 2, top_k: 1 }),
  min_p: () => leavesTheText({ temperature: 1, min_p: 1 }),
  presence_penalty: () => changesTheText({ presence_penalty: 2 }),
  frequency_penalty: () => changesTheText({ frequency_penalty: 2 }),
  repeat_penalty: () => changesTheText({ repeat_penalty: 3 }),
  repetition_penalty: () => changesTheText({ repetition_penalty: 3 }),
  repeat_last_n: () => leavesTheText({ repeat_penalty: 3, repeat_last_n: 0 }),
  async logit_bias() {
    const [, ...answer] = [0, ...(await tokensOf(textOf(await ask())))]
    const first = answer[0] ?? 0
    expect(textOf(await ask({ logit_bias: { [first]: -100 } }))).not.toBe(textOf(await ask()))
  },
  async seed() {
    const texts = await Promise.all([1, 2, 3, 4].map((seed) => ask({ temperature: 1.5, seed })))
    expect(new Set(texts.map((completion) => textOf(completion))).size).toBeGreaterThan(1)
  },
  async stop() {
    const text = textOf(await ask({ max_tokens: 16 }))
    const stop = text.slice(5, 9)
    const stopped = await ask({ max_tokens: 16, stop })
    expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop', text: text.slice(0, text.indexOf(stop)) })
  },
  async n() {
    const completion = await ask({ prompt: ['Once upon a time', 'Yesterday'], temperature: 1, seed: 1, n: 2 })
    expect(completion.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3])
    expect(textOf(completion, 0)).not.toBe(textOf(completion, 1))
  },
  async best_of() {
    const meanOf = ({ logprobs }: OpenAI.CompletionChoice): number => {
      const told = logprobs?.token_logprobs ?? []
      return told.reduce((sum: number, logprob) => sum + (logprob ?? 0), 0) / told.length
    }
    const body = { prompt: 'Once upon a time', temperature: 1.2, seed: 1, logprobs: 0 }
    const all = await ask({ ...body, n: 4, best_of: 4 })
    const best = await ask({ ...body, n: 1, best_of: 4 })
    expect(best.choices).toHaveLength(1)
    expect(meanOf(best.choices[0] ?? raise())).toBeCloseTo(Math.max(...all.choices.map(meanOf)), 4)
    expect(best.usage?.completion_tokens).toBe(all.usage?.completion_tokens)
  },
  async echo() {
    expect(textOf(await ask({ echo: true }))).toBe(prompt + textOf(await ask()))
    let streamed = ''
    for await (const { choices } of await client.completions.create({ model: platform.model, prompt, temperature: 0, max_tokens: 8, echo: true, stream: true })) streamed += choices[0]?.text ?? ''
    expect(streamed).toBe(prompt + textOf(await ask()))
  },
  async suffix() {
    // The default model has no fill-in-the-middle and says so; the one below has.
    await expect(ask({ suffix: '.' })).rejects.toMatchObject({ status: 400, param: 'suffix' })
  },
  async logprobs() {
    const { logprobs, text } = (await ask({ logprobs: 3 })).choices[0] ?? raise()
    expect(logprobs?.tokens?.join('')).toBe(text)
    expect(logprobs?.token_logprobs).toHaveLength(8)
    expect(logprobs?.top_logprobs?.every((top) => Object.keys(top).length === 3)).toBe(true)
    for (const [index, offset] of (logprobs?.text_offset ?? []).entries()) expect(text.slice(offset)).toMatch(startsWith(logprobs?.tokens?.[index] ?? ''))
    expect((await ask({ logprobs: 0 })).choices[0]?.logprobs?.token_logprobs).toHaveLength(8)
  },
  async stream() {
    const texts = ['', '']
    for await (const { choices } of await client.completions.create({ model: platform.model, prompt: [prompt, 'Two plus two is'], temperature: 0, max_tokens: 8, stream: true })) {
      for (const { index, text } of choices) texts[index] += text
    }
    const whole = await ask({ prompt: [prompt, 'Two plus two is'] })
    expect(texts).toEqual([textOf(whole), textOf(whole, 1)])
  },
  async stream_options() {
    let last
    for await (const chunk of await client.completions.create({ model: platform.model, prompt, max_tokens: 4, stream: true, stream_options: { include_usage: true } })) last = chunk
    expect(last).toMatchObject({ choices: [], usage: { completion_tokens: 4 } })
  },
  async response_format() {
    const completion = await ask({ max_tokens: 60 }, { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { enum: ['a', 'b'] } } } })
    expect(['a', 'b']).toContain(parseJson(textOf(completion)))
    const schema = { type: 'object', properties: {}, additionalProperties: false }
    expect(parseJson(textOf(await ask({}, { response_format: { type: 'json_object', schema } })))).toEqual({})
    expect(parseJson(textOf(await ask({}, { response_format: { type: 'json_schema', json_schema: { name: 'x', description: 'Nothing.', strict: true, schema } } })))).toEqual({})
  },
  async json_schema() {
    expect(JSON.parse(textOf(await ask({}, { json_schema: { type: 'object', properties: {}, additionalProperties: false } })))).toEqual({})
  },
  async grammar() {
    expect(textOf(await ask({}, { grammar: 'root ::= " Lyon" | " Nice"' }))).toMatch(/^ (Lyon|Nice)$/)
  },
  prompt_cache_key: () => leavesTheText({ prompt_cache_key: 'x' }),
}

function raise(): never {
  throw new Error('there is no choice')
}

function startsWith(text: string): RegExp {
  return new RegExp(`^${RegExp.escape(text)}`, 'u')
}

describe('every parameter of completions, through the openai client', () => {
  test.each(Object.entries(effects))('%s', async (_, effect) => await effect())

  test('is in this table', async () => {
    const supported = await supportedParameters(platform, '/v1/completions')
    expect(supported.length).toBeGreaterThan(15)
    expect(supported.filter((name) => effects[name] === undefined)).toEqual([])
  })

  const wrong: [string, object, string][] = [
    ['best_of below n', { n: 3, best_of: 2 }, 'best_of'],
    ['best_of in a stream', { best_of: 2, stream: true }, 'best_of'],
    ['echo with logprobs', { echo: true, logprobs: 1 }, 'logprobs'],
    ['an empty prompt', { prompt: [] }, 'prompt'],
    ['a token that is none', { prompt: [2 ** 30] }, 'prompt'],
  ]

  test.each(wrong)('%s is a 400 with its place', async (_, extra, param) => {
    await expect(ask(extra)).rejects.toMatchObject({ status: 400, param: expect.stringContaining(param) as string })
  })
})

describe('fill-in-the-middle', () => {
  test('wraps prefix and suffix in the tokens that the model has for it', async () => {
    // SmolLM2's vocabulary has no such tokens; three of its special ones stand for them.
    const modelPath = await withMetadata(process.env['INTRAMUROS_TEST_MODEL'] ?? '', {
      'tokenizer.ggml.fim_pre_token_id': 3,
      'tokenizer.ggml.fim_suf_token_id': 4,
      'tokenizer.ggml.fim_mid_token_id': 5,
    })
    const filling = await startPlatform({ modelPath })
    try {
      trust(filling)
      const { client: filler, wire: itsWire } = openAiClient(filling)
      const [without, withSuffix] = [await filler.completions.create({ model: filling.model, prompt: 'a' }), await filler.completions.create({ model: filling.model, prompt: 'a', suffix: 'b' })]
      expect(withSuffix.usage?.prompt_tokens).toBeGreaterThanOrEqual((without.usage?.prompt_tokens ?? 0) + 4)
      itsWire.verify()
    } finally {
      await filling.stop()
    }
  })
})

describe('what is inside of parameters', () => {
  test('is sent by a test above wherever it is supported', async () => {
    // To a model that has fill-in-the-middle: above.
    const sent = new Set([...wire.placesSent('/v1/completions'), 'suffix'])
    expect((await supportedPlaces(platform, '/v1/completions')).filter((place) => !sent.has(place))).toEqual([])
  })
})
