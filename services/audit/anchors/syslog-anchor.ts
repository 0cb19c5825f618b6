import { createSocket } from 'node:dgram'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type Anchor, AnchorError } from './anchor.ts'
import { syslogMessage } from './syslog-message.ts'

export interface SyslogAnchorOptions {
  name: string
  host: string
  port: number
  transport: 'tls' | 'tcp' | 'udp'
  /** PEM of the CAs that its certificate may come from; undefined: those of Node.js. */
  ca: string | undefined
  hostname: string
  clock: () => number
  timeoutMs: number
}

/**
 * One message for each checkpoint. Syslog has no acknowledgement: with TLS and TCP it counts as there once all was sent and the receiver
 * has closed its side without an error, with UDP once it was sent.
 */
export function createSyslogAnchor(options: SyslogAnchorOptions): Anchor {
  const { name, host, port, transport, ca, timeoutMs } = options
  return {
    name,
    kind: 'syslog',
    async put(checkpoint, signal) {
      const message = syslogMessage({ ...checkpoint, time: options.clock(), hostname: options.hostname, pid: process.pid })
      const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      try {
        if (transport === 'udp') await sendDatagram({ host, port, message, limit })
        // RFC 5425 and 6587: the length in bytes, a space, the message.
        else await sendStream(connect(), `${Buffer.byteLength(message)} ${message}`, limit)
      } catch (thrown) {
        if (limit.aborted) throw new AnchorError(signal.aborted ? 'It was given up, because the service stops.' : `The receiver did not take it within ${timeoutMs / 1000} seconds.`, { cause: thrown })
        const code = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'unknown'
        throw new AnchorError(`The receiver could not be reached (${code}).`, { cause: thrown })
      }
    },
    close: () => undefined,
  }

  function connect(): { socket: Socket; ready: 'connect' | 'secureConnect' } {
    if (transport === 'tcp') return { socket: connectTcp({ host, port }), ready: 'connect' }
    const socket = connectTls({ host, port, servername: /[a-z]/i.test(host) && !host.includes(':') ? host : '', minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) })
    return { socket, ready: 'secureConnect' }
  }
}

function sendStream({ socket, ready }: { socket: Socket; ready: string }, frame: string, limit: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => void socket.destroy(new Error('too late'))
    limit.addEventListener('abort', abort, { once: true })
    if (limit.aborted) abort()
    let failure: Error | undefined
    let isSent = false
    socket.on('error', (error) => (failure = error))
    socket.on('close', () => {
      limit.removeEventListener('abort', abort)
      if (failure === undefined && isSent) resolve()
      else reject(failure ?? new Error('closed by the receiver'))
    })
    socket.once(ready, () => socket.end(frame, () => (isSent = true)))
    socket.resume()
  })
}

function sendDatagram({ host, port, message, limit }: { host: string; port: number; message: string; limit: AbortSignal }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    let isOver = false
    const done = (error?: Error | null): void => {
      if (isOver) return
      isOver = true
      limit.removeEventListener('abort', abort)
      socket.close()
      if (error == null) resolve()
      else reject(error)
    }
    const abort = (): void => done(new Error('too late'))
    limit.addEventListener('abort', abort, { once: true })
    socket.once('error', done)
    socket.send(message, port, host, done)
  })
}
