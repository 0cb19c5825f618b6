import { once } from 'node:events'
import { createServer, type ServerResponse, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { openAiErrors } from '../api/errors.ts'
import { ServiceError } from '../../shared/errors.ts'
import { type Exchange, openExchange } from './exchange.ts'

/** What a client gets of an answer that `write` makes. */
async function answered(write: (exchange: Exchange) => Promise<void> | void): Promise<string> {
  const over = Promise.withResolvers<void>()
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { exchange, close } = openExchange({ requestId: 'r', request, response, errors: openAiErrors, timeoutMs: 10_000 })
    const run = async (): Promise<void> => {
      try {
        await write(exchange)
      } finally {
        close()
        response.end()
      }
    }
    over.resolve(run())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const text = await (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).text()
    await over.promise
    return text
  } finally {
    server.close()
  }
}

test('what is held back is copied at once, and leaves in its order when it is released', async () => {
  const copied: string[] = []
  const text = await answered((exchange) => {
    exchange.copy = (part) => void copied.push(part)
    exchange.startEvents()
    void exchange.write('a')
    const { release } = exchange.hold(() => {
      void exchange.write('b')
      void exchange.write('c')
      exchange.end()
    })
    expect(copied).toEqual(['a', 'b', 'c'])
    release()
  })
  expect(text).toBe('abc')
})

test('a whole answer that is held back and never released leaves its place to an error, which is not copied', async () => {
  const copied: string[] = []
  const text = await answered((exchange) => {
    exchange.copy = (part) => void copied.push(part)
    exchange.hold(() => exchange.json(200, '{"secret":1}'))
    exchange.fail(new ServiceError('UNAVAILABLE', 'content_unavailable', 'No.'))
  })
  expect(copied).toEqual(['{"secret":1}'])
  expect(text).toContain('content_unavailable')
  expect(text).not.toContain('secret')
})

test('whoever writes waits for the copy, and is told when that fails; of what is held back the end of the copy tells', async () => {
  const failure = new ServiceError('UNAVAILABLE', 'content_unavailable', 'No.')
  const failed: unknown[] = []
  const text = await answered(async (exchange) => {
    exchange.copy = () => Promise.reject(failure)
    exchange.startEvents()
    await exchange.write('a')?.catch((thrown: unknown) => failed.push(thrown))
    const { release } = exchange.hold(() => {
      expect(exchange.write('b')).toBeUndefined()
      exchange.end()
    })
    // A rejection that nobody handles would fail this file.
    await new Promise((resolve) => setImmediate(resolve))
    release()
  })
  expect(failed).toEqual([failure])
  expect(text).toBe('ab')
})
