import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { createHttpClient } from './http-client.ts'

const signal = new AbortController().signal
const closing: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function listening(server: Server, at: string | number): Promise<number> {
  if (typeof at === 'string') server.listen(at)
  else server.listen(at, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => void server.close())
  return typeof at === 'string' ? 0 : (server.address() as AddressInfo).port
}

function client(address: Parameters<typeof createHttpClient>[0]['address']) {
  const http = createHttpClient({ address, apiKey: undefined })
  closing.push(() => http.close())
  return http
}

test('a connection that was closed while it lay idle is made anew', async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    let requests = 0
    socket.on('data', () => {
      requests += 1
      // What closes an idle connection has not seen the request that comes just then.
      if (requests > 1) socket.resetAndDestroy()
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')
    })
    socket.on('error', () => undefined)
  })
  const http = client({ host: '127.0.0.1', port: await listening(server, 0) })
  for (let round = 0; round < 3; round += 1) expect(await http.json({ method: 'GET', path: '/', signal }, 5000)).toEqual({})
  expect(connections).toBe(3)
})

test('a server that resets every connection is an error, once', async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.on('error', () => undefined)
    socket.once('data', () => socket.resetAndDestroy())
  })
  const http = client({ host: '127.0.0.1', port: await listening(server, 0) })
  await expect(http.text({ method: 'GET', path: '/', signal }, 5000)).rejects.toMatchObject({ reason: 'unreachable' })
  expect(connections).toBe(1)
})

test('a socket file is an address, too', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'intramuros-socket-'))
  closing.push(() => rm(folder, { recursive: true, force: true }))
  const socketPath = join(folder, 's.sock')
  const server = createHttpServer((_request, response) => void response.end('"here"'))
  await listening(server, socketPath)
  const http = client({ socketPath })
  expect(await http.json({ method: 'GET', path: '/', signal }, 5000)).toBe('here')
})

test('what takes too long, and what is too large, ends', async () => {
  const server = createHttpServer((request, response) => {
    response.writeHead(200)
    response.flushHeaders()
    if (request.url === '/slow') return
    const flood = (): void => {
      while (response.write(Buffer.alloc(2 ** 20))) if (response.destroyed) return
      if (!response.destroyed) response.once('drain', flood)
    }
    flood()
  })
  const http = client({ host: '127.0.0.1', port: await listening(server, 0) })
  await expect(http.text({ method: 'GET', path: '/slow', signal }, 100)).rejects.toMatchObject({ reason: 'timeout' })
  await expect(http.text({ method: 'GET', path: '/flood', signal }, 20_000)).rejects.toMatchObject({ reason: 'too_large' })
  server.closeAllConnections()
})
