import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'
import { trust } from './support/clients.ts'

let platform: Platform
let openai: OpenAI
let anthropic: Anthropic

const limit = 3000
const answerTokens = { max_tokens: limit }
const messages = [{ role: 'user' as const, content: 'Count to a million.' }]

beforeAll(async () => {
  // One slot: whatever is not freed keeps the next test from its answer.
  platform = await startPlatform({ workers: [{ slots: 1, tokens: limit, delayMs: 10 }] })
  trust(platform)
  openai = new OpenAI({ baseURL: `${platform.url}/v1`, apiKey: platform.key, maxRetries: 0 })
  anthropic = new Anthropic({ baseURL: platform.url, apiKey: platform.key, maxRetries: 0 })
})
afterAll(() => platform.stop())

async function take(stream: AsyncIterable<unknown>, events: number): Promise<void> {
  let taken = 0
  for await (const _ of stream) {
    taken += 1
    if (taken === events) return
  }
}

const streamed: [string, () => Promise<AsyncIterable<unknown>>][] = [
  ['chat', () => openai.chat.completions.create({ model: platform.model, messages, ...answerTokens, stream: true })],
  ['chat, of several choices', () => openai.chat.completions.create({ model: platform.model, messages, ...answerTokens, n: 2, stream: true })],
  ['completions', () => openai.completions.create({ model: platform.model, prompt: 'One, two', ...answerTokens, stream: true })],
  ['responses', () => openai.responses.create({ model: platform.model, input: 'Count.', max_output_tokens: limit, stream: true })],
  ['messages', () => anthropic.messages.create({ model: platform.model, messages, ...answerTokens, stream: true })],
]

const whole: [string, (options: { signal: AbortSignal }) => Promise<unknown>][] = [
  ['chat', (options) => openai.chat.completions.create({ model: platform.model, messages, ...answerTokens }, options)],
  ['completions', (options) => openai.completions.create({ model: platform.model, prompt: 'One, two', ...answerTokens }, options)],
  ['responses', (options) => openai.responses.create({ model: platform.model, input: 'Count.', max_output_tokens: limit }, options)],
  ['messages', (options) => anthropic.messages.create({ model: platform.model, messages, ...answerTokens }, options)],
]

async function lastOutcome(records: number): Promise<void> {
  await until(async () => (await auditRecords(platform.home)).length >= records + 2, 'the records of the cancel')
  const last = (await auditRecords(platform.home)).at(-1)
  expect(last?.['outcome']).toBe('cancelled')
  expect(last?.['outputTokens']).toBeLessThan(limit / 2)
}

describe('a client that leaves', () => {
  test.each(streamed)('in the midst of a stream of %s frees the slot', async (_, create) => {
    const before = (await auditRecords(platform.home)).length
    // Breaking out of the loop is how the clients abort.
    await take(await create(), 8)
    await lastOutcome(before)
  })

  test.each(whole)('while it waits for an answer of %s frees the slot', async (_, create) => {
    const before = (await auditRecords(platform.home)).length
    const controller = new AbortController()
    const answer = create({ signal: controller.signal })
    await until(async () => (await auditRecords(platform.home)).length > before, 'the begin record')
    controller.abort()
    await expect(answer).rejects.toThrow('aborted')
    await lastOutcome(before)
  })

  test('while it waits in the queue leaves the queue', async () => {
    const running = await openai.chat.completions.create({ model: platform.model, messages, ...answerTokens, stream: true })
    await take({ [Symbol.asyncIterator]: () => ({ next: () => running[Symbol.asyncIterator]().next() }) }, 1)
    const controller = new AbortController()
    const queued = openai.chat.completions.create({ model: platform.model, messages, ...answerTokens }, { signal: controller.signal })
    controller.abort()
    await expect(queued).rejects.toThrow('aborted')
    running.controller.abort()
    const { choices } = await openai.chat.completions.create({ model: platform.model, messages, max_tokens: 2 })
    expect(choices[0]?.finish_reason).toBe('length')
  })
})
