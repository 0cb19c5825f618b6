import { once } from 'node:events'
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, createServer, request, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createIdentities, type Identities, silent } from '../../../test/support/identities.ts'
import { httpsOptions, keepCertificateCurrent } from './https-options.ts'
import { type Identity, watchIdentity } from './identity.ts'

let first: Identities
let second: Identities
let folder: string
let identity: Identity
let server: Server
let stop: () => void
let port: number
const agents: Agent[] = []
const tooOld: ConnectionOptions = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }

beforeEach(async () => {
  first = await createIdentities()
  second = await createIdentities()
  folder = await mkdtemp(join(tmpdir(), 'intramuros-https-'))
  await put(first)
  identity = await watchIdentity({ file: join(folder, 'https.pem'), caFile: join(folder, 'ca.crt'), log: silent, pollMs: 50 })
  server = createServer(httpsOptions(identity), (_, response) => response.end('hello'))
  stop = keepCertificateCurrent(server, identity)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy()
  stop()
  identity.close()
  server.close()
  server.closeAllConnections()
  await first.close()
  await second.close()
  await rm(folder, { recursive: true })
})

async function put(from: Identities): Promise<void> {
  for (const name of ['ca.crt', 'https.pem']) {
    await copyFile(join(from.folder, name), join(folder, 'new'))
    await rename(join(folder, 'new'), join(folder, name))
  }
}

async function swap(): Promise<void> {
  const changed = new Promise<void>((resolve) => identity.onChange(() => resolve()))
  await put(second)
  await changed
}

async function handshake(from: Identities, options: ConnectionOptions = {}): Promise<Pick<TLSSocket, 'alpnProtocol'> & { version: string | null }> {
  const { ca } = (await from.of('https')).current()
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca, ...options })
  try {
    await once(socket, 'secureConnect')
    return { version: socket.getProtocol(), alpnProtocol: socket.alpnProtocol }
  } finally {
    socket.destroy()
  }
}

async function get(agent: Agent, host: string): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ host, port, agent }, resolve).once('error', reject).end()
  })
  return text(response)
}

async function agentOf(from: Identities): Promise<Agent> {
  const agent = new Agent({ keepAlive: true, ca: (await from.of('https')).current().ca })
  agents.push(agent)
  return agent
}

test.each(['localhost', '127.0.0.1'])('serves %s to clients that trust the CA', async (host) => {
  expect(await get(await agentOf(first), host)).toBe('hello')
  await expect(get(await agentOf(second), host)).rejects.toThrow(/self-signed certificate|unable to verify/)
})

test('speaks TLS 1.2 and 1.3, and nothing older', async () => {
  expect(await handshake(first)).toMatchObject({ version: 'TLSv1.3' })
  expect(await handshake(first, { maxVersion: 'TLSv1.2' })).toMatchObject({ version: 'TLSv1.2' })
  await expect(handshake(first, tooOld)).rejects.toThrow('protocol version')
})

test.each([
  [['h2', 'http/1.1'], 'http/1.1'],
  [['http/1.0'], 'http/1.0'],
  [undefined, false],
])('a client that offers %s speaks %s', async (ALPNProtocols, chosen) => {
  const offer = ALPNProtocols === undefined ? {} : { ALPNProtocols }
  expect(await handshake(first, offer)).toMatchObject({ alpnProtocol: chosen })
  expect(await handshake(first, { ...offer, maxVersion: 'TLSv1.2' })).toMatchObject({ alpnProtocol: chosen })
})

test('a new certificate counts for the next handshake, and open connections go on', async () => {
  const agent = await agentOf(first)
  expect(await get(agent, 'localhost')).toBe('hello')
  await swap()
  expect(await get(agent, 'localhost')).toBe('hello')
  expect(await get(await agentOf(second), 'localhost')).toBe('hello')
  await expect(get(await agentOf(first), 'localhost')).rejects.toThrow(/self-signed certificate|unable to verify/)
  await expect(handshake(second, tooOld)).rejects.toThrow('protocol version')
})

test('counts no more once it was ended', async () => {
  stop()
  await swap()
  expect(await get(await agentOf(first), 'localhost')).toBe('hello')
})
