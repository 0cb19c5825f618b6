import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { supportedParameters, supportedPlaces } from './support/openapi.ts'
import { realPlatform } from './support/platforms.ts'
import { post } from './support/post.ts'

type Completion = OpenAI.Chat.ChatCompletion
type Params = OpenAI.Chat.ChatCompletionCreateParamsNonStreaming

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

const question = { role: 'user', content: 'Name the capital of France.' } as const
const story = { role: 'user', content: 'Tell me a story about a dragon and a knight.' } as const
const wanted = (name: string): object => ({ type: 'function', function: { name, description: 'Tells the weather.', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } })

/** `extra` is what the client's types don't know. */
async function ask(params: Partial<Params> = {}, extra: object = {}): Promise<Completion> {
  return await client.chat.completions.create({ model: platform.model, messages: [question], temperature: 0, max_tokens: 12, ...params, ...extra })
}

function textOf(completion: Completion, choice = 0): string {
  return completion.choices[choice]?.message.content ?? ''
}

async function firstTokenOf(completion: Completion): Promise<number> {
  const { tokens } = (await (await post(platform, '/tokenize', { content: textOf(completion), add_special: false })).json()) as { tokens: number[] }
  return tokens[0] ?? -1
}

/** Largest count of one word in the text: what penalties act on. */
function repeats(text: string): number {
  const counts = new Map<string, number>()
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1)
  return Math.max(...counts.values())
}

/** For each parameter that is supported, what it must do. Those that a table further down is about are named there. */
const effects: Record<string, () => Promise<void>> = {
  async model() {
    expect((await ask()).model).toBe(platform.model)
  },
  async messages() {
    expect(textOf(await ask())).toContain('Paris')
  },
  async temperature() {
    expect(textOf(await ask({ temperature: 0 }))).toBe(textOf(await ask({ temperature: 0 })))
    const hot = await Promise.all([1, 2, 3].map((seed) => ask({ messages: [story], temperature: 1.5, seed })))
    expect(new Set(hot.map((completion) => textOf(completion))).size).toBeGreaterThan(1)
  },
  async top_p() {
    expect(textOf(await ask({ temperature: 1, top_p: 0 }))).toBe(textOf(await ask()))
    expect(textOf(await ask({ temperature: 1, top_p: 0.000001, seed: 5 }))).toBe(textOf(await ask()))
  },
  async top_k() {
    expect(textOf(await ask({ temperature: 2, seed: 5 }, { top_k: 1 }))).toBe(textOf(await ask()))
  },
  async min_p() {
    expect(textOf(await ask({ temperature: 1, seed: 5 }, { min_p: 1 }))).toBe(textOf(await ask()))
  },
  async presence_penalty() {
    await changesTheText({ presence_penalty: 2 })
  },
  async frequency_penalty() {
    const body = { messages: [story], max_tokens: 64 }
    expect(repeats(textOf(await ask({ ...body, frequency_penalty: 2 })))).toBeLessThan(repeats(textOf(await ask({ ...body, frequency_penalty: -2 }))))
  },
  async repeat_penalty() {
    await changesTheText({ repeat_penalty: 3 })
  },
  async repetition_penalty() {
    const body = { messages: [story], max_tokens: 32 }
    expect(textOf(await ask(body, { repetition_penalty: 3 }))).toBe(textOf(await ask(body, { repeat_penalty: 3 })))
  },
  async repeat_last_n() {
    const body = { messages: [story], max_tokens: 32 }
    expect(textOf(await ask(body, { repeat_penalty: 3, repeat_last_n: 0 }))).toBe(textOf(await ask(body)))
  },
  async logit_bias() {
    const first = await firstTokenOf(await ask())
    const without = await ask({ logit_bias: { [first]: -100 } })
    expect(await firstTokenOf(without)).not.toBe(first)
    const only = await ask({ logit_bias: { [first]: 100 }, max_tokens: 3, logprobs: true })
    const tokens = only.choices[0]?.logprobs?.content?.map(({ token }) => token) ?? []
    expect(tokens).toHaveLength(3)
    expect(new Set(tokens).size).toBe(1)
  },
  async seed() {
    const body = { messages: [story], temperature: 1 }
    expect(textOf(await ask({ ...body, seed: 7 }))).toBe(textOf(await ask({ ...body, seed: 7 })))
    expect(textOf(await ask({ ...body, seed: 2 ** 40 + 1 }))).toBe(textOf(await ask({ ...body, seed: 2 ** 40 + 1 })))
  },
  async max_tokens() {
    const completion = await ask({ messages: [story], max_tokens: 5 })
    expect(completion.usage?.completion_tokens).toBe(5)
    expect(completion.choices[0]?.finish_reason).toBe('length')
  },
  async max_completion_tokens() {
    expect((await ask({ messages: [story], max_tokens: 9, max_completion_tokens: 4 })).usage?.completion_tokens).toBe(4)
  },
  async stop() {
    const text = textOf(await ask({ max_tokens: 24 }))
    const stop = text.slice(9, 14)
    for (const given of [stop, [stop, 'never said']]) {
      const stopped = await ask({ max_tokens: 24, stop: given })
      expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: text.slice(0, text.indexOf(stop)) } })
    }
  },
  async n() {
    const completion = await ask({ messages: [story], temperature: 1, n: 3, seed: 1 })
    expect(completion.choices.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(new Set(completion.choices.map((_, index) => textOf(completion, index))).size).toBe(3)
    expect(completion.usage?.completion_tokens).toBeLessThanOrEqual(36)
    expect(completion.usage?.completion_tokens).toBeGreaterThan(12)
  },
  async stream() {
    const stream = await client.chat.completions.create({ model: platform.model, messages: [question], temperature: 0, max_tokens: 12, n: 2, stream: true })
    const texts = ['', '']
    const ends: (string | null)[] = []
    for await (const { choices } of stream) {
      for (const { index, delta, finish_reason: end } of choices) {
        texts[index] += delta.content ?? ''
        if (end !== null) ends[index] = end
      }
    }
    expect(texts).toEqual([textOf(await ask()), textOf(await ask())])
    expect(ends).toHaveLength(2)
  },
  async stream_options() {
    const stream = await client.chat.completions.create({ model: platform.model, messages: [question], max_tokens: 4, stream: true, stream_options: { include_usage: true } })
    const usages = []
    for await (const { usage, choices } of stream) usages.push({ usage, choices: choices.length })
    expect(usages.pop()).toMatchObject({ usage: { completion_tokens: 4 }, choices: 0 })
    expect(usages.every(({ usage }) => usage === null)).toBe(true)
  },
  async logprobs() {
    const completion = await ask({ messages: [story], logprobs: true })
    const content = completion.choices[0]?.logprobs?.content ?? []
    expect(content).toHaveLength(12)
    expect(content.every(({ logprob, top_logprobs: top }) => logprob <= 0 && top.length === 0)).toBe(true)
    expect(Buffer.from(content.flatMap(({ bytes }) => bytes ?? [])).toString()).toBe(textOf(completion))
  },
  async top_logprobs() {
    const content = (await ask({ logprobs: true, top_logprobs: 5 })).choices[0]?.logprobs?.content ?? []
    for (const { token, logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(5)
      // Greedy: the likeliest is the one that was taken.
      expect(top[0]).toMatchObject({ token, logprob })
      expect(top.map((entry) => entry.logprob)).toEqual(top.map((entry) => entry.logprob).toSorted((a, b) => b - a))
      expect(top.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0)).toBeLessThanOrEqual(1.001)
    }
  },
  async response_format() {
    const text = textOf(await ask({ response_format: { type: 'json_object' }, max_tokens: 200 }))
    expect(parseJson(text)).toBeTypeOf('object')
    expect(textOf(await ask({ response_format: { type: 'text' } }))).toBe(textOf(await ask()))
    const schema = { type: 'object', properties: { capital: { enum: ['Paris', 'Rome'] } }, required: ['capital'], additionalProperties: false }
    const strict = await ask({ response_format: { type: 'json_schema', json_schema: { name: 'answer', description: 'A capital.', strict: true, schema } }, max_tokens: 60 })
    expect(['Paris', 'Rome']).toContain((parseJson(textOf(strict)) as { capital: string }).capital)
    const llamaServers = await ask({ max_tokens: 60 }, { response_format: { type: 'json_object', schema } })
    expect(['Paris', 'Rome']).toContain((parseJson(textOf(llamaServers)) as { capital: string }).capital)
  },
  async json_schema() {
    const schema = { type: 'object', properties: { capital: { type: 'string', maxLength: 20 } }, required: ['capital'], additionalProperties: false }
    expect(JSON.parse(textOf(await ask({ max_tokens: 60 }, { json_schema: schema })))).toEqual({ capital: expect.any(String) as string })
  },
  async grammar() {
    expect(textOf(await ask({}, { grammar: 'root ::= "yes" | "no"' }))).toMatch(/^(yes|no)$/)
  },
  async tools() {
    const tools = [wanted('get_weather')] as Params['tools'] & object
    expect((await ask({ tools })).usage?.prompt_tokens).toBeGreaterThanOrEqual((await ask()).usage?.prompt_tokens ?? 0)
  },
  async tool_choice() {
    const tools = [wanted('get_weather'), wanted('get_tides')] as Params['tools'] & object
    const required = await ask({ tools, tool_choice: 'required', max_tokens: 120 })
    expect(required.choices[0]?.finish_reason).toBe('tool_calls')
    expect(['get_weather', 'get_tides']).toContain(calledBy(required)[0]?.function.name)
    const strict = await ask({ tools: [{ type: 'function', function: { ...(wanted('get_tides') as { function: OpenAI.FunctionDefinition }).function, strict: true } }], tool_choice: 'required', max_tokens: 120 })
    expect(calledBy(strict)[0]?.function.name).toBe('get_tides')
    const named = await ask({ tools, tool_choice: { type: 'function', function: { name: 'get_tides' } }, max_tokens: 120 })
    expect(calledBy(named).map((call) => call.function.name)).toContain('get_tides')
    expect(parseJson(calledBy(named)[0]?.function.arguments)).toEqual({ city: expect.any(String) as string })
    const none = await ask({ tools, tool_choice: 'none' })
    expect(none.choices[0]?.message.tool_calls).toBeUndefined()
  },
  async parallel_tool_calls() {
    const completion = await ask({ tools: [wanted('get_weather')] as Params['tools'] & object, tool_choice: 'required', parallel_tool_calls: false, max_tokens: 120 })
    expect(calledBy(completion)).toHaveLength(1)
  },
  async reasoning_effort() {
    expect(textOf(await ask({ reasoning_effort: 'none' }))).toContain('Paris')
  },
  async thinking_budget_tokens() {
    expect(textOf(await ask({}, { thinking_budget_tokens: 0 }))).toContain('Paris') // what it does to a model that reasons: reasoning.test.ts
  },
  async reasoning_budget_tokens() {
    expect(textOf(await ask({}, { reasoning_budget_tokens: 0 }))).toContain('Paris')
  },
  async chat_template_kwargs() {
    expect(textOf(await ask({}, { chat_template_kwargs: { enable_thinking: false } }))).toContain('Paris')
  },
  async add_generation_prompt() {
    const [whole, without] = [await ask(), await ask({}, { add_generation_prompt: false })].map(({ usage }) => usage?.prompt_tokens ?? 0)
    expect(without).toBeLessThan(whole ?? 0)
  },
  async service_tier() {
    // It can wait for others'; there are none.
    expect(textOf(await ask({ service_tier: 'flex' }))).toBe(textOf(await ask({ service_tier: 'auto' })))
    await expect(ask({ service_tier: 'scale' })).rejects.toMatchObject({ status: 400, param: 'service_tier' })
  },
  async prompt_cache_key() {
    expect(textOf(await ask({ prompt_cache_key: 'a conversation' }))).toBe(textOf(await ask()))
  },
  async modalities() {
    expect(textOf(await ask({ modalities: ['text'] }))).toContain('Paris')
  },
}

function calledBy(completion: Completion): OpenAI.Chat.ChatCompletionMessageFunctionToolCall[] {
  return (completion.choices[0]?.message.tool_calls ?? []).filter((call) => call.type === 'function')
}

async function changesTheText(extra: object): Promise<void> {
  const body = { messages: [story], max_tokens: 48 }
  expect(textOf(await ask(body, extra))).not.toBe(textOf(await ask(body)))
}

describe('every parameter of chat, through the openai client', () => {
  test.each(Object.entries(effects))('%s', async (_, effect) => await effect())

  test('is in this table', async () => {
    const supported = await supportedParameters(platform, '/v1/chat/completions')
    expect(supported.length).toBeGreaterThan(20)
    expect(supported.filter((name) => effects[name] === undefined)).toEqual([])
  })

  test.each(['user', 'metadata', 'safety_identifier'])('%s is taken, and of no effect', async (name) => {
    const value = name === 'metadata' ? { project: 'x' } : 'someone'
    const { data, response } = await client.chat.completions.create({ model: platform.model, messages: [question], temperature: 0, max_tokens: 12, [name]: value }).withResponse()
    expect(textOf(data)).toBe(textOf(await ask()))
    expect(response.headers.get('x-intramuros-ignored')).toBeNull()
  })

  test('store is taken when it is false, and refused when it is true', async () => {
    expect(textOf(await ask({ store: false }))).toContain('Paris')
    await expect(ask({ store: true })).rejects.toMatchObject({ status: 400, param: 'store', code: 'unsupported_parameter' })
  })
})

describe('messages', () => {
  const messages: [string, Params['messages']][] = [
    ['system', [{ role: 'system', content: 'You are terse.' }, question]],
    ['developer', [{ role: 'developer', content: 'You are terse.' }, question]],
    ['a name', [{ ...question, name: 'anne' }]],
    ['an assistant that spoke', [question, { role: 'assistant', content: 'Paris.' }, { role: 'user', content: 'And of Italy?' }]],
    ['an assistant that refused', [question, { role: 'assistant', content: null, refusal: 'No.' }, question]],
    ['an assistant that refused in parts', [question, { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] }, question]],
    ['an assistant that reasoned', [question, reasoned('reasoning_content'), question]],
    ['an assistant that reasoned, as vLLM has it', [question, reasoned('reasoning'), question]],
    ['an assistant that called, and a tool', conversationWithTool('18 degrees')],
    ['parts', [{ role: 'user', content: [{ type: 'text', text: 'Name the capital ' }, { type: 'text', text: 'of France.' }] }]],
    ['parts of every role', [{ role: 'system', content: parts('Be terse.') }, { role: 'user', content: parts('Hello') }, { role: 'assistant', content: parts('Hi') }, { role: 'user', content: parts('Bye') }]],
    ['parts of a tool', conversationWithTool(parts('18 degrees'))],
  ]

  test.each(messages)('of %s', async (_, given) => {
    expect((await ask({ messages: given })).choices).toHaveLength(1)
  })

  test('give the same prompt as parts and as a string of them, each on a line of its own', async () => {
    const split = await ask({ messages: [{ role: 'user', content: [{ type: 'text', text: 'Name the capital' }, { type: 'text', text: 'of France.' }] }] })
    const whole = await ask({ messages: [{ role: 'user', content: 'Name the capital\nof France.' }] })
    expect(textOf(split)).toBe(textOf(whole))
    expect(split.usage?.prompt_tokens).toBe(whole.usage?.prompt_tokens)
  })

  test('that hold an image are refused with their place', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } } as const
    await expect(ask({ messages: [{ role: 'user', content: [image] }] })).rejects.toMatchObject({ status: 400, param: expect.stringMatching(/^messages\[0\]\.content/) as string })
  })
})

function parts(text: string): { type: 'text'; text: string }[] {
  return [{ type: 'text', text }]
}

/** What it reasoned is in no type of the client. */
function reasoned(name: string): Params['messages'][number] {
  return { role: 'assistant', content: 'Paris.', [name]: 'That is easy.' }
}

function conversationWithTool(content: string | { type: 'text'; text: string }[]): Params['messages'] {
  return [
    { role: 'user', content: 'How warm is it in Rome?' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city": "Rome"}' } }] },
    { role: 'tool', tool_call_id: 'call_1', content },
  ]
}

describe('what is inside of parameters', () => {
  test('is sent by a test above wherever it is supported', async () => {
    const sent = wire.placesSent('/v1/chat/completions')
    expect((await supportedPlaces(platform, '/v1/chat/completions')).filter((place) => !sent.has(place))).toEqual([])
  })
})
