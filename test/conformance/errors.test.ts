import { AuthenticationError, BadRequestError, NotFoundError, type OpenAI, RateLimitError } from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openDirectory } from '../../services/shared/directory/directory.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { openAiClient, type OpenAiClient, trust } from './support/clients.ts'

let platform: Platform
let client: OpenAI
let wire: OpenAiClient['wire']

beforeAll(async () => {
  platform = await startPlatform()
  trust(platform)
  ;({ client, wire } = openAiClient(platform))
})
afterAll(() => platform.stop())
afterEach(() => wire.verify())

const messages = [{ role: 'user' as const, content: 'Hello' }]

/** Asks each endpoint that generates, with other parameters; and the parameter that says something. */
const endpoints: [string, (params: object) => Promise<unknown>, (text: string) => object][] = [
  ['chat', (params) => client.chat.completions.create({ model: platform.model, messages, ...params }), (content) => ({ messages: [{ role: 'user', content }] })],
  ['completions', (params) => client.completions.create({ model: platform.model, prompt: 'Hello', ...params }), (prompt) => ({ prompt })],
  ['responses', (params) => client.responses.create({ model: platform.model, input: 'Hello', ...params }), (input) => ({ input })],
]

describe.each(endpoints)('errors of %s', (_, create, saying) => {
  test('an unknown model', async () => {
    const asked = create({ model: 'nope' })
    await expect(asked).rejects.toBeInstanceOf(NotFoundError)
    await expect(asked).rejects.toMatchObject({ code: 'model_not_found', param: 'model' })
  })

  test('a prompt that is too long', async () => {
    const asked = create(saying('word '.repeat(10_000)))
    await expect(asked).rejects.toBeInstanceOf(BadRequestError)
    await expect(asked).rejects.toMatchObject({ code: 'context_length_exceeded', message: expect.stringMatching(/\d{4,}.*\d{4,}/) as string })
  })

  test('a value that is out of range', async () => {
    await expect(create({ temperature: 5 })).rejects.toMatchObject({ status: 400, param: 'temperature', type: 'invalid_request_error' })
  })

  test('a stream that is refused is no stream', async () => {
    await expect(create({ stream: true, model: 'nope' })).rejects.toBeInstanceOf(NotFoundError)
  })

  test('a key that is wrong', async () => {
    const stranger = openAiClient(platform, 'sk-im-wrong')
    await expect(stranger.client.models.list()).rejects.toBeInstanceOf(AuthenticationError)
    await expect(stranger.client.chat.completions.create({ model: platform.model, messages })).rejects.toBeInstanceOf(AuthenticationError)
    stranger.wire.verify()
  })
})

describe('parameters that nobody knows', () => {
  const odd = { temprature: 0 } as object

  test('are named in a header', async () => {
    const { response } = await client.chat.completions.create({ model: platform.model, messages, ...odd }).withResponse()
    expect(response.headers.get('x-intramuros-ignored')).toBe('temprature')
  })

  test('are refused, with a suggestion, for a team that wants it so', async () => {
    const directory = openDirectory({ home: platform.home })
    directory.addTeam('strict', [])
    directory.changeTeam('strict', { strictParameters: true })
    const { secret } = directory.createKey('strict')
    directory.close()
    const strict = openAiClient(platform, secret)
    const asked = strict.client.chat.completions.create({ model: platform.model, messages, ...odd })
    await expect(asked).rejects.toBeInstanceOf(BadRequestError)
    await expect(asked).rejects.toMatchObject({ code: 'unknown_parameter', param: 'temprature', message: expect.stringContaining("'temperature'") as string })
    strict.wire.verify()
  })
})

describe('a queue that is full', () => {
  test('is a rate limit error that says when to try again', async () => {
    const busy = await startPlatform({ workers: [{ slots: 1, tokens: 100, delayMs: 20 }], env: { INTRAMUROS_GATEWAY_MAX_CONCURRENT: '1', INTRAMUROS_GATEWAY_MAX_QUEUED: '1' } })
    try {
      trust(busy)
      const { client: impatient } = openAiClient(busy)
      const asked = Array.from({ length: 6 }, () => impatient.chat.completions.create({ model: busy.model, messages, max_tokens: 100 }))
      const refused = (await Promise.allSettled(asked)).flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
      expect(refused.length).toBeGreaterThan(0)
      for (const error of refused) {
        expect(error).toBeInstanceOf(RateLimitError)
        expect(Number((error as RateLimitError).headers.get('retry-after'))).toBeGreaterThan(0)
      }
    } finally {
      await busy.stop()
    }
  })
})
