import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createSyslogAnchor } from './syslog-anchor.ts'
import { syslogMessage } from './syslog-message.ts'
import { createGrowingLog } from './test-support/growing-log.ts'

const checkpoint = createGrowingLog('a').checkpoint(5)
const opened: { close(): unknown }[] = []
afterEach(() => opened.splice(0).forEach((one) => one.close()))

const anchorAt = (port: number, transport: 'tls' | 'tcp' | 'udp', timeoutMs = 10_000) => createSyslogAnchor({ name: 's', host: '127.0.0.1', port, transport, ca: undefined, hostname: 'ledger 1', clock: () => 0, timeoutMs })

async function receiver(onSocket: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer(onSocket).listen(0, '127.0.0.1')
  opened.push(server)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

test('the message is one line of ASCII, from which the note can be had again', () => {
  const message = syslogMessage({ ...checkpoint, time: Date.UTC(2026, 0, 2, 3, 4, 5, 6), hostname: 'ledger 1é', pid: 7 })
  const [, head = '', json = ''] = /^(.*? - )(\{[ -~]*\})$/.exec(message) ?? []
  expect(head).toBe('<109>1 2026-01-02T03:04:05.006Z ledger1 intramuros-audit 7 checkpoint - ')
  expect(JSON.parse(json)).toEqual({ size: 5, checkpoint: checkpoint.note })
})

test('over TCP it is one frame, and there once the receiver has closed', async () => {
  let got = ''
  const port = await receiver((socket) => socket.setEncoding('utf8').on('data', (part: string) => (got += part)))
  await anchorAt(port, 'tcp').put(checkpoint, new AbortController().signal)
  const [, length, message = ''] = /^(\d+) ([^]*)$/.exec(got) ?? []
  expect(Number(length)).toBe(message.length)
  expect(message).toContain(JSON.stringify({ size: 5 }).slice(0, -1))
})

test('over UDP it is one datagram', async () => {
  const socket = createSocket('udp4')
  opened.push(socket)
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const message = once(socket, 'message')
  await anchorAt(socket.address().port, 'udp').put(checkpoint, new AbortController().signal)
  expect(String((await message)[0])).toMatch(/^<109>1 /)
})

test('a receiver that is away, hangs or breaks off is told', async () => {
  const signal = new AbortController().signal
  const hanging = await receiver((socket) => void socket.pause().on('error', () => undefined))
  await expect(anchorAt(hanging, 'tls', 200).put(checkpoint, signal)).rejects.toThrow(/within 0.2 seconds/)
  const breaking = await receiver((socket) => void socket.resetAndDestroy())
  await expect(anchorAt(breaking, 'tls').put(checkpoint, signal)).rejects.toThrow(/could not be reached/)
  const stopping = anchorAt(hanging, 'tls').put(checkpoint, AbortSignal.abort())
  await expect(stopping).rejects.toThrow(/service stops/)
})
