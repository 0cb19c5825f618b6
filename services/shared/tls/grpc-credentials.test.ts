import { once } from 'node:events'
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises'
import { type AddressInfo, createServer as createPlainServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createIdentities, type Identities, silent } from '../../../test/support/identities.ts'
import { echoClient, handshake, serveEcho, whoAmI, whoAmIAnew } from './echo.ts'
import { channelCredentials } from './grpc-credentials.ts'
import { type Identity, watchIdentity } from './identity.ts'
import { sanOf } from './service-name.ts'

let ours: Identities
let others: Identities
const closing: (() => void | Promise<void>)[] = []

beforeAll(async () => {
  ours = await createIdentities()
  others = await createIdentities()
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(async () => {
  await ours.close()
  await others.close()
})

async function serve(identity: Identity): Promise<number> {
  const server = await serveEcho(identity)
  closing.push(() => server.close())
  return server.port
}

const unavailable = { code: 14 }
const closed = 'the server closed the connection'

describe('a server and a client of one CA', () => {
  test('talk, and the server knows the caller by its certificate', async () => {
    const port = await serve(await ours.of('tokenizer'))
    for (const name of ['gateway', 'audit', 'inference-worker']) {
      expect((await whoAmIAnew(port, 'tokenizer', await ours.of(name))).split(' ')[0]).toBe(name)
    }
  })

  test('talk TLS 1.3 and nothing older', async () => {
    const port = await serve(await ours.of('tokenizer'))
    const { key, cert, ca } = (await ours.of('gateway')).current()
    const options = { key, cert, ca, servername: sanOf('tokenizer') }
    expect((await handshake(port, options)).protocol).toBe('TLSv1.3')
    await expect(handshake(port, { ...options, maxVersion: 'TLSv1.2' })).rejects.toThrow('alert protocol version')
  })
})

describe('a server refuses', () => {
  test('a client of another CA', async () => {
    const port = await serve(await ours.of('tokenizer'))
    const { key, cert } = (await others.of('gateway')).current()
    const gateway = await ours.of('gateway')
    const { ca, notAfter } = gateway.current()
    await expect(handshake(port, { key, cert, ca, servername: sanOf('tokenizer') })).rejects.toThrow(closed)
    const mixed = { ...gateway, current: () => ({ key, cert, ca, notAfter }) }
    await expect(whoAmIAnew(port, 'tokenizer', mixed)).rejects.toMatchObject(unavailable)
  })

  test('a client without a certificate', async () => {
    const port = await serve(await ours.of('tokenizer'))
    const { ca } = (await ours.of('gateway')).current()
    await expect(handshake(port, { ca, servername: sanOf('tokenizer') })).rejects.toThrow('certificate required')
  })

  test('the certificate of the public address: it is none for clients', async () => {
    const port = await serve(await ours.of('tokenizer'))
    await expect(whoAmIAnew(port, 'tokenizer', await ours.of('https'))).rejects.toMatchObject(unavailable)
    const { key, cert, ca } = (await ours.of('https')).current()
    await expect(handshake(port, { key, cert, ca, servername: sanOf('tokenizer') })).rejects.toThrow(closed)
  })
})

describe('a client refuses', () => {
  test('a server of another CA', async () => {
    const port = await serve(await others.of('tokenizer'))
    await expect(whoAmIAnew(port, 'tokenizer', await ours.of('gateway'))).rejects.toMatchObject(unavailable)
  })

  test('another service than the one it wants', async () => {
    const port = await serve(await ours.of('audit'))
    await expect(whoAmIAnew(port, 'tokenizer', await ours.of('gateway'))).rejects.toMatchObject(unavailable)
  })

  test('the public address as a service', async () => {
    const port = await serve(await ours.of('https'))
    await expect(whoAmIAnew(port, 'gateway', await ours.of('gateway'))).rejects.toMatchObject(unavailable)
  })

  test('a server that knows TLS 1.2 at most', async () => {
    const { key, cert, ca } = (await ours.of('tokenizer')).current()
    const server = createServer({ key, cert, ca, maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] })
    const refused = once(server, 'tlsClientError')
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(() => void server.close())
    const { port } = server.address() as AddressInfo
    await expect(whoAmIAnew(port, 'tokenizer', await ours.of('gateway'))).rejects.toMatchObject(unavailable)
    expect(String((await refused)[0])).toContain('unsupported protocol')
  })
})

describe('a change of certificates', () => {
  interface Swapping {
    identity: Identity
    swap(): Promise<void>
  }

  /** An identity of a service whose files are another's from the call of swap() on. */
  async function swapping(first: [Identities, string], second: [Identities, string]): Promise<Swapping> {
    const folder = await mkdtemp(join(tmpdir(), 'intramuros-swap-'))
    const put = async ([from, name]: [Identities, string]): Promise<void> => {
      for (const [source, target] of [['ca.crt', 'ca.crt'], [`${name}.pem`, 'service.pem']] as const) {
        await copyFile(join(from.folder, source), join(folder, 'new'))
        await rename(join(folder, 'new'), join(folder, target))
      }
    }
    await put(first)
    const files = { file: join(folder, 'service.pem'), caFile: join(folder, 'ca.crt') }
    const identity = await watchIdentity({ ...files, log: silent, pollMs: 50 })
    closing.push(async () => {
      identity.close()
      await rm(folder, { recursive: true })
    })
    return {
      identity,
      async swap() {
        const changed = new Promise<void>((resolve) => identity.onChange(() => resolve()))
        await put(second)
        await changed
      },
    }
  }

  test('on the server counts for the next handshake, with all that goes with it, and open connections go on', async () => {
    const { identity, swap } = await swapping([ours, 'tokenizer'], [others, 'tokenizer'])
    const port = await serve(identity)
    const open = echoClient(port, 'tokenizer', await ours.of('gateway'))
    closing.push(() => open.close())
    expect(await whoAmI(open)).toContain('gateway')
    await expect(whoAmIAnew(port, 'tokenizer', await others.of('gateway'))).rejects.toMatchObject(unavailable)
    await swap()
    expect(await whoAmI(open)).toContain('gateway')
    expect(await whoAmIAnew(port, 'tokenizer', await others.of('gateway'))).toContain('gateway')
    await expect(whoAmIAnew(port, 'tokenizer', await ours.of('gateway'))).rejects.toMatchObject(unavailable)
    const { key, cert, ca } = (await others.of('gateway')).current()
    await expect(handshake(port, { ca, servername: sanOf('tokenizer') })).rejects.toThrow('certificate required')
    const older = handshake(port, { key, cert, ca, servername: sanOf('tokenizer'), maxVersion: 'TLSv1.2' })
    await expect(older).rejects.toThrow('alert protocol version')
  })

  test('on the client counts for the next connection of a channel, and the open one goes on', async () => {
    const { identity, swap } = await swapping([ours, 'gateway'], [ours, 'audit'])
    let server = await serveEcho(await ours.of('tokenizer'))
    const open = echoClient(server.port, 'tokenizer', identity)
    closing.push(() => open.close(), () => server.close())
    expect(await whoAmI(open)).toContain('gateway')
    await swap()
    expect(await whoAmI(open)).toContain('gateway')
    const { port } = server
    server.close()
    server = await serveEcho(await ours.of('tokenizer'), port)
    await expect.poll(() => whoAmI(open).catch(String), { timeout: 10_000 }).toContain('audit')
  })

  test('leaves no listener behind when the server ends', async () => {
    const identity = await ours.of('tokenizer')
    let listeners = 0
    const counted: Identity = {
      ...identity,
      onChange(listener) {
        listeners += 1
        const unsubscribe = identity.onChange(listener)
        return () => {
          listeners -= 1
          unsubscribe()
        }
      },
    }
    const server = await serveEcho(counted)
    expect(listeners).toBe(1)
    server.close()
    await expect.poll(() => listeners).toBe(0)
  })
})

test('channels share a connection only with the same identity', async () => {
  const gateway = await ours.of('gateway')
  expect(channelCredentials(gateway)._equals(channelCredentials(gateway))).toBe(true)
  expect(channelCredentials(gateway)._equals(channelCredentials(await ours.of('audit')))).toBe(false)
})

test('a connection that breaks off during the handshake fails the call', async () => {
  const server = createPlainServer((socket) => socket.on('error', () => undefined).once('data', () => socket.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => void server.close())
  const { port } = server.address() as AddressInfo
  await expect(whoAmIAnew(port, 'tokenizer', await ours.of('gateway'))).rejects.toMatchObject(unavailable)
})
