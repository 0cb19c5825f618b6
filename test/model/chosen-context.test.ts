import { afterAll, beforeAll, expect, test } from 'vitest'
import { chatBody, send } from '../support/client.ts'
import { type Platform, startPlatform } from '../support/platform.ts'

const worker = (name: string): string => `INTRAMUROS_INFERENCE_WORKER_${name}`

let platform: Platform
beforeAll(async () => {
  const settings = { [worker('CONTEXT_LENGTH')]: '0', [worker('MEMORY')]: '800MiB', [worker('GPU')]: 'off', [worker('THREADS')]: '1' }
  platform = await startPlatform({ realModel: true, env: settings })
}, 90_000)
afterAll(() => platform.stop())

test('a context that the worker chose for its memory is the one that prompts are held against, and that clients see', async () => {
  const listed = JSON.parse((await send(platform, undefined, { method: 'GET', path: '/v1/models' })).text) as { data: { context_length: number }[] }
  const chosen = listed.data[0]?.context_length ?? 0
  // It was trained for 8192.
  expect(chosen).toBeGreaterThanOrEqual(2048)
  expect(chosen).toBeLessThan(8192)
  const long = await send(platform, chatBody(platform, { messages: [{ role: 'user', content: 'a b '.repeat(chosen / 2 + 100) }] }))
  expect(long.status).toBe(400)
  expect(JSON.parse(long.text)).toMatchObject({ error: { code: 'context_length_exceeded', message: expect.stringContaining(`maximum context length is ${chosen} tokens`) as string } })
  const fitting = await send(platform, chatBody(platform, { messages: [{ role: 'user', content: 'a b '.repeat(200) }], max_tokens: 4 }))
  expect(fitting.status).toBe(200)
})
