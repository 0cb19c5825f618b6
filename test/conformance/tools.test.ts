import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { playedPlatform } from './support/platforms.ts'

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

const answer = `<think>
The user wants the weather of two cities.
</think>

Let me see.
<tool_call>
{"name": "get_weather", "arguments": {"city": "Łódź", "unit": "°C"}}
</tool_call>
<tool_call>
{"name": "get_weather", "arguments": {"city": "Rome {\\"}\\" 🌞"}}
</tool_call>`

beforeAll(async () => {
  platform = await playedPlatform({ text: answer })
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
})
afterAll(() => platform.stop())
afterEach(() => wire.verify())

const definition = {
  name: 'get_weather',
  description: 'Tells the weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' }, unit: { type: 'string' } }, required: ['city'], additionalProperties: false },
}
const tools = [{ type: 'function' as const, function: definition }]

const cities = [{ city: 'Łódź', unit: '°C' }, { city: 'Rome {"}" 🌞' }]

function body() {
  return { model: platform.model, messages: [{ role: 'user' as const, content: 'How is the weather in Łódź and Rome?' }], tools }
}

describe('tools, with a model that calls', () => {
  test('come out as calls, apart from text and reasoning', async () => {
    const { choices } = await client.chat.completions.create(body())
    expect(choices).toHaveLength(1)
    expect(choices[0]?.finish_reason).toBe('tool_calls')
    const message = choices[0]?.message
    expect(message?.content?.trim()).toBe('Let me see.')
    expect((message as { reasoning_content?: string }).reasoning_content?.trim()).toBe('The user wants the weather of two cities.')
    const calls = message?.tool_calls ?? []
    expect(calls.map((call) => call.type === 'function' && parseJson(call.function.arguments))).toEqual(cities)
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2)
  })

  test('are streamed, their arguments too, and the client puts the same together', async () => {
    const runner = client.chat.completions.stream({ ...body(), stream_options: { include_usage: true } })
    let pieces = 0
    runner.on('tool_calls.function.arguments.delta', () => (pieces += 1))
    const { choices, usage } = await runner.finalChatCompletion()
    const calls = choices[0]?.message.tool_calls ?? []
    expect(calls.map((call) => call.type === 'function' && parseJson(call.function.arguments))).toEqual(cities)
    expect(choices[0]?.finish_reason).toBe('tool_calls')
    expect(choices[0]?.message.content?.trim()).toBe('Let me see.')
    expect(pieces).toBeGreaterThan(2)
    expect(usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(0)
  })

  test('no piece of markup reaches the client', async () => {
    let seen = ''
    for await (const chunk of await client.chat.completions.create({ ...body(), stream: true })) seen += JSON.stringify(chunk.choices[0]?.delta)
    expect(seen).not.toMatch(/tool_call>|<\/?think|<tool/)
  })

  test('the name comes whole and first, with an id, then the arguments in pieces', async () => {
    const deltas = []
    for await (const chunk of await client.chat.completions.create({ ...body(), stream: true })) deltas.push(...(chunk.choices[0]?.delta.tool_calls ?? []))
    for (const index of [0, 1]) {
      const [first, ...others] = deltas.filter((delta) => delta.index === index)
      expect(first).toMatchObject({ id: expect.stringMatching(/^call_/) as string, type: 'function', function: { name: 'get_weather' } })
      expect(others.every((delta) => delta.id === undefined && delta.function?.name === undefined)).toBe(true)
    }
  })

  test('what they answer goes back, and the loop of the client ends', async () => {
    const asked: string[] = []
    const getWeather = ({ city }: { city: string }): string => {
      asked.push(city)
      return 'sunny'
    }
    const parse = (text: string): { city: string } => JSON.parse(text) as { city: string }
    const runnable = { type: 'function' as const, function: { ...definition, parse, function: getWeather } }
    const runner = client.chat.completions.runTools({ ...body(), tools: [runnable] }, { maxChatCompletions: 2 })
    await runner.done()
    // The scripted model calls again and again; the client's limit ends it.
    expect(asked).toEqual(['Łódź', 'Rome {"}" 🌞', 'Łódź', 'Rome {"}" 🌞'])
    expect(runner.messages.filter(({ role }) => role === 'tool')).toHaveLength(4)
  })

  test('that are not given are not looked for: the markup is text', async () => {
    const { tools: _, ...rest } = body()
    const { choices } = await client.chat.completions.create(rest)
    expect(choices[0]?.finish_reason).toBe('stop')
    expect(choices[0]?.message.tool_calls).toBeUndefined()
    expect(choices[0]?.message.content).toContain('<tool_call>')
  })

  test('tool_choice none calls nothing', async () => {
    const { choices } = await client.chat.completions.create({ ...body(), tool_choice: 'none' })
    expect(choices[0]?.finish_reason).toBe('stop')
    expect(choices[0]?.message.tool_calls).toBeUndefined()
  })

  const wrong: [string, object, string][] = [
    ['a choice that names no tool', { tool_choice: { type: 'function', function: { name: 'nope' } } }, 'tool_choice'],
    ['a demand without tools', { tools: undefined, tool_choice: 'required' }, 'tool_choice'],
    ['a tool of no known kind', { tools: [{ type: 'web_search' }] }, 'tools'],
    ['a tool with an odd name', { tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools'],
    ['two tools of one name', { tools: [...tools, ...tools] }, 'tools'],
    ['functions, which came before tools', { functions: [{ name: 'f' }] }, 'functions'],
  ]

  test.each(wrong)('%s is a 400 with its place', async (_, extra, param) => {
    await expect(client.chat.completions.create({ ...body(), ...extra } as OpenAI.Chat.ChatCompletionCreateParamsNonStreaming)).rejects.toMatchObject({ status: 400, param: expect.stringContaining(param) as string })
  })
})
