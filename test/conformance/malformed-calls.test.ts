import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Platform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'
import { playedPlatform } from './support/platforms.ts'

const answers: Record<string, string> = {
  'JSON that ends too early': '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Ro',
  'no JSON': '<tool_call>\nget_weather(Rome)\n</tool_call>',
  'a tool that was not given': '<tool_call>\n{"name": "rm", "arguments": {"path": "/"}}\n</tool_call>',
  'reasoning that never ends': '<think>\nWell, well',
}

const tools = [{ type: 'function' as const, function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }]

describe.each(Object.entries(answers))('a model that writes %s', (_, text) => {
  let platform: Platform
  let openai: OpenAiClient

  beforeAll(async () => {
    platform = await playedPlatform({ text })
    trust(platform)
    openai = openAiClient(platform)
  })
  afterAll(() => platform.stop())
  afterEach(() => openai.wire.verify())

  test('is answered whole and streamed alike, and never hangs', async () => {
    const body = { model: platform.model, messages: [{ role: 'user' as const, content: 'How is the weather?' }], tools }
    const whole = await openai.client.chat.completions.create(body).then(({ choices }) => choices[0]?.message.content, codeOf)
    const streamed = await openai.client.chat.completions
      .stream(body)
      .finalChatCompletion()
      .then(({ choices }) => choices[0]?.message.content, codeOf)
    expect(streamed ?? '').toBe(whole ?? '')
  })
})

function codeOf(thrown: unknown): unknown {
  return (thrown as { code?: unknown }).code
}
