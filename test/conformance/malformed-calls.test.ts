import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { parseJson } from './support/json.ts'
import { playedPlatform } from './support/platforms.ts'

/** What of a malformed answer reaches a client: an error, or text and calls that are whole. */
interface Outcome {
  error?: unknown
  text?: string
  /** Arguments of the calls, parsed. */
  calls?: unknown[]
}

const failed: Outcome = { error: 'grammar_failed' }

const answers: [string, string, Outcome][] = [
  // Once a call has begun, it is kept to the tool's schema; this model can't be, and the client is told so.
  ['JSON that ends too early', '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Ro', { error: 'malformed_tool_call' }],
  ['no JSON', '<tool_call>\nget_weather(Rome)\n</tool_call>', failed],
  ['a tool that was not given', '<tool_call>\n{"name": "rm", "arguments": {"path": "/"}}\n</tool_call>', failed],
  ['half a marker', 'Look: <tool_ca', { text: 'Look: <tool_ca', calls: [] }],
  ['reasoning that never ends', '<think>\nWell, well', { text: '', calls: [] }],
]

const tools = [{ type: 'function' as const, function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }]

describe.each(answers)('a model that writes %s', (_, text, expected) => {
  let platform: Platform
  let openai: OpenAiClient

  beforeAll(async () => {
    platform = await playedPlatform({ text })
    trust(platform)
    openai = openAiClient(platform)
  })
  afterAll(() => platform.stop())
  afterEach(() => openai.wire.verify())

  test('is told alike whole and streamed', async () => {
    const body = { model: platform.model, messages: [{ role: 'user' as const, content: 'How is the weather?' }], tools }
    expect(await outcomeOf(openai.client.chat.completions.create(body))).toEqual(expected)
    expect(await outcomeOf(openai.client.chat.completions.stream(body).finalChatCompletion())).toEqual(expected)
  })
})

async function outcomeOf(asked: Promise<OpenAI.Chat.ChatCompletion>): Promise<Outcome> {
  let completion
  try {
    completion = await asked
  } catch (thrown) {
    return { error: (thrown as { code?: unknown }).code }
  }
  const message = completion.choices[0]?.message
  const calls = (message?.tool_calls ?? []).flatMap((call) => (call.type === 'function' ? [parseJson(call.function.arguments)] : []))
  return { text: message?.content ?? '', calls }
}
