import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { createServer } from 'node:net'

/** Listens on all addresses of the network that it is started in: `tcp:PORT`, `udp:PORT` (answers whatever comes), `http:PORT:FILE` (answers each request with the file). */
const listening = process.argv.slice(2).map(async (text) => {
  const [kind, port = '0', file = ''] = text.split(':')
  const { promise, resolve } = Promise.withResolvers<void>()
  if (kind === 'tcp') createServer((socket) => socket.on('error', () => undefined).end()).listen(Number(port), '::', resolve)
  else if (kind === 'http') {
    createHttp((_, response) => response.setHeader('content-type', 'application/json').end(readFileSync(file))).listen(Number(port), '::', resolve)
  } else {
    const socket = createSocket('udp6')
    socket.on('message', (message, { port: from, address }) => socket.send(message, from, address))
    socket.bind(Number(port), '::', resolve)
  }
  await promise
})
await Promise.all(listening)
process.stdout.write('listening\n')
