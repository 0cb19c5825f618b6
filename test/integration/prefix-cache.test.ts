import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDirectory } from '../../services/shared/directory/directory.ts'
import { send } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'

let platform: Platform
let otherKey: string

beforeAll(async () => {
  platform = await startPlatform({ workers: [{ tokens: 8 }, { tokens: 8 }, { tokens: 8 }] })
  const directory = openDirectory({ home: platform.home })
  directory.addTeam('other', [])
  otherKey = directory.createKey('other').secret
  directory.close()
})
afterAll(() => platform.stop())

const story = 'Once upon a time there was an owl who lived in an old oak. '.repeat(30)

interface Usage {
  prompt_tokens: number
  prompt_tokens_details: { cached_tokens: number }
}

async function ask(path: string, body: object, key = platform.key): Promise<Record<string, unknown>> {
  const reply = await send({ ...platform, key }, { model: platform.model, ...body }, { path })
  expect(reply.status).toBe(200)
  return JSON.parse(reply.text) as Record<string, unknown>
}

async function usage(question: string, key?: string): Promise<Usage> {
  const { usage: told } = await ask('/v1/chat/completions', { messages: [{ role: 'system', content: story }, { role: 'user', content: question }] }, key)
  return told as Usage
}

test('a chat goes on at the worker that holds its beginning, and its client is told; another team gains nothing', async () => {
  const first = await usage('Who?')
  expect(first.prompt_tokens_details.cached_tokens).toBe(0)
  // Which worker holds what reaches the gateway within a moment.
  await until(async () => (await usage('Where?')).prompt_tokens_details.cached_tokens > 300, 'a warm worker to be found')
  for (const question of ['When?', 'Why?', 'How?', 'What?']) await until(async () => (await usage(question)).prompt_tokens_details.cached_tokens > 300, `a warm worker to be found for ${question}`)
  const other = await usage('Who?', otherKey)
  expect(other.prompt_tokens).toBe(first.prompt_tokens)
  expect(other.prompt_tokens_details.cached_tokens).toBe(0)
})

test('the responses API tells it too; to clients of Anthropic, who asked for no caching, it is no matter', async () => {
  await until(async () => (await usage('Who?')).prompt_tokens_details.cached_tokens > 300, 'a warm worker to be found')
  const { usage: responses } = await ask('/v1/responses', { instructions: story, input: 'Who?' })
  expect((responses as { input_tokens_details: { cached_tokens: number } }).input_tokens_details.cached_tokens).toBeGreaterThan(300)
  const { usage: messages } = await ask('/v1/messages', { system: story, messages: [{ role: 'user', content: 'Who?' }], max_tokens: 5 })
  expect(messages).toMatchObject({ cache_read_input_tokens: 0, input_tokens: (responses as { input_tokens: number }).input_tokens })
})
