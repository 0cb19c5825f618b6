import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { afterEach, expect, test } from 'vitest'
import { chatBody } from '../support/client.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'

let platform: Platform
afterEach(() => platform.stop())

test('a gateway that is to stop serves on for a while, not ready, and asks its clients to connect anew', async () => {
  platform = await startPlatform({ env: { INTRAMUROS_GATEWAY_DRAIN_DELAY_SECONDS: '3' } })
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: platform.ca })
  const ask = async (): Promise<{ status: number | undefined; connection: string | undefined }> => {
    const sent = request(`${platform.url}/v1/chat/completions`, { method: 'POST', agent, headers: { authorization: `Bearer ${platform.key}`, 'content-type': 'application/json' } })
    sent.end(JSON.stringify(chatBody(platform)))
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    await response.resume().toArray()
    return { status: response.statusCode, connection: response.headers.connection }
  }
  try {
    expect(await ask()).toEqual({ status: 200, connection: 'keep-alive' })
    const readiness = `${platform.monitor('gateway')}/readyz`
    const drained = platform.drain('gateway', 20_000)
    await until(async () => (await fetch(readiness).catch(() => undefined))?.status === 503, 'the gateway to say that it is not ready')
    // On the old connection, which it closes, and on a new one.
    expect(await ask()).toEqual({ status: 200, connection: 'close' })
    expect(await ask()).toEqual({ status: 200, connection: 'close' })
    expect(await drained).toBe(0)
  } finally {
    agent.destroy()
  }
})
