import { createServer, type Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIdentities, type Identities } from '../../../test/support/identities.ts'
import type { Target } from '../../shared/isolation/target.ts'
import { silent } from '../silent.ts'
import { connectProbe } from './ask-probe.ts'
import type { ProbedComponent } from './components.ts'
import type { ProbePod } from './endpoints.ts'
import { serveProbe } from './probe-server.ts'

let identities: Identities
let listener: Server
let open: Target

beforeAll(async () => {
  identities = await createIdentities()
  listener = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  open = { method: 'tcp', host: '127.0.0.1', port: (listener.address() as AddressInfo).port }
})
afterAll(async () => {
  listener.close()
  await identities.close()
})

async function startProbe(component: ProbedComponent, limitMs = 20_000): Promise<{ probe: ProbePod; asked: Promise<boolean> }> {
  const listening = Promise.withResolvers<number>()
  const asked = serveProbe({ component, pod: 'probe-x', node: '192.0.2.1', identity: await identities.of(component), listen: '127.0.0.1:0', limitMs, log: silent, onListening: listening.resolve })
  return { probe: { component, pod: 'probe-x', address: `127.0.0.1:${await listening.promise}` }, asked }
}

test("a probe answers the gateway's certificate, in the order that it was asked, and ends", async () => {
  const { probe, asked } = await startProbe('tokenizer')
  const connected = await connectProbe(probe, await identities.of('gateway'), 5000)
  expect(connected.node).toBe('192.0.2.1')
  const closed = { ...open, port: 1 }
  expect((await connected.attempt([open, closed, open], 1000)).map(({ result }) => result)).toEqual(['reached', 'refused', 'reached'])
  connected.close()
  expect(await asked).toBe(true)
})

test('what is no address, and too much, is refused, and the probe goes on waiting', async () => {
  const { probe, asked } = await startProbe('audit')
  const connected = await connectProbe(probe, await identities.of('gateway'), 5000)
  const refusal = { code: 'INVALID_ARGUMENT', reason: 'invalid_target' }
  await expect(connected.attempt([{ ...open, host: 'localhost' }], 1000)).rejects.toMatchObject(refusal)
  await expect(connected.attempt([{ method: 'ping', host: '127.0.0.1', port: 1 }], 1000)).rejects.toMatchObject(refusal)
  await expect(connected.attempt([open], 60_001)).rejects.toMatchObject(refusal)
  await expect(connected.attempt(Array.from({ length: 1001 }, () => open), 1000)).rejects.toMatchObject(refusal)
  expect(await connected.attempt([open], 1000)).toMatchObject([{ result: 'reached' }])
  connected.close()
  expect(await asked).toBe(true)
})

test('it answers to no other certificate, and is taken for no other component', async () => {
  const { probe, asked } = await startProbe('tokenizer', 3000)
  await expect(connectProbe(probe, await identities.of('inference-worker'), 1000)).rejects.toThrow('does not answer')
  await expect(connectProbe({ ...probe, component: 'audit' }, await identities.of('gateway'), 1000)).rejects.toThrow('does not answer')
  expect(await asked).toBe(false)
})
