import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

let platform: Platform
let client: OpenAI

beforeAll(async () => {
  platform = await startPlatform({ realModel: true, env: { INTRAMUROS_INFERENCE_WORKER_THREADS: '1' } })
  setDefaultCACertificates([...getCACertificates('default'), platform.ca])
  client = new OpenAI({ baseURL: `${platform.url}/v1`, apiKey: platform.key, maxRetries: 0 })
})
afterAll(() => platform.stop())

const question = { role: 'user', content: 'What is the capital of France?' } as const

describe('the official openai client, with the real model', () => {
  test('streams a chat, with usage', async () => {
    const stream = await client.chat.completions.create({
      model: platform.model,
      messages: [question],
      temperature: 0,
      max_tokens: 24,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let finish: string | null | undefined
    let tokens = 0
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      finish = chunk.choices[0]?.finish_reason ?? finish
      tokens = chunk.usage?.completion_tokens ?? tokens
    }
    expect(text).toMatch(/\p{L}{2,}/u)
    expect(['stop', 'length']).toContain(finish)
    expect(tokens).toBeGreaterThan(0)
    expect(tokens).toBeLessThanOrEqual(24)
  })

  test('gets the same text whole, streamed and asked again at temperature 0', async () => {
    const body = { model: platform.model, messages: [question], temperature: 0, max_tokens: 24 }
    const first = await client.chat.completions.create(body)
    const second = await client.chat.completions.create(body)
    let streamed = ''
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) streamed += chunk.choices[0]?.delta.content ?? ''
    expect(second.choices[0]?.message.content).toBe(first.choices[0]?.message.content)
    expect(streamed).toBe(first.choices[0]?.message.content)
  })

  test('gets the same sample for the same seed, and others for other seeds', async () => {
    const ask = async (seed: number): Promise<string | null | undefined> =>
      (await client.chat.completions.create({ model: platform.model, messages: [{ role: 'user', content: 'Tell me a story.' }], temperature: 1, seed, max_tokens: 16 })).choices[0]?.message.content
    expect(await ask(7)).toBe(await ask(7))
    expect(new Set([await ask(1), await ask(2), await ask(3)]).size).toBeGreaterThan(1)
  })

  test('ends before a stop sequence', async () => {
    const body = { model: platform.model, messages: [question], temperature: 0, max_tokens: 24 }
    const text = (await client.chat.completions.create(body)).choices[0]?.message.content ?? ''
    // From the middle of one word into the next, so that it lies over a border of tokens.
    const at = text.indexOf(' ', text.length / 2)
    const stop = text.slice(at - 2, at + 3)
    const stopped = await client.chat.completions.create({ ...body, stop })
    expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: text.slice(0, text.indexOf(stop)) } })
  })

  test('answers several at once', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => client.chat.completions.create({ model: platform.model, messages: [question], temperature: 0, max_tokens: 8 })))
    for (const answer of answers) expect(answer.usage?.completion_tokens).toBe(8)
  })

  test('lists the models', async () => {
    const ids: string[] = []
    for await (const model of client.models.list()) ids.push(model.id)
    expect(ids).toEqual([platform.model])
  })

  test('throws its own errors', async () => {
    const wrong = new OpenAI({ baseURL: `${platform.url}/v1`, apiKey: 'sk-im-wrong', maxRetries: 0 })
    await expect(wrong.models.list()).rejects.toBeInstanceOf(AuthenticationError)
    await expect(client.chat.completions.create({ model: 'nope', messages: [question] })).rejects.toBeInstanceOf(NotFoundError)
    await expect(client.chat.completions.create({ model: platform.model, messages: [question], temperature: 5 })).rejects.toBeInstanceOf(BadRequestError)
  })

  test('stops the decoding when it aborts', async () => {
    const stream = await client.chat.completions.create({ model: platform.model, messages: [{ role: 'user', content: 'Count to one thousand.' }], stream: true, max_tokens: 2000, temperature: 0 })
    let chunks = 0
    for await (const chunk of stream) {
      chunks += chunk.choices.length
      if (chunks === 5) stream.controller.abort()
    }
    await until(async () => (await auditRecords(platform.home)).findLast((record) => record['type'] === 'request.end')?.['outcome'] === 'cancelled', 'the record of the cancel')
    expect((await auditRecords(platform.home)).findLast((record) => record['type'] === 'request.end')?.['outputTokens']).toBeLessThan(200)
  })

  test('leaves a log that verifies', async () => {
    expect((await verifyFolder(`${platform.home}/audit`)).ok).toBe(true)
  })
})
