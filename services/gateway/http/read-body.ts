import type { IncomingMessage } from 'node:http'
import { ServiceError } from '../../shared/errors.ts'

/** The whole body, at most `maxBytes`. Throws INVALID_ARGUMENT body_too_large, or the signal's reason when the client goes away. */
export function readBody(request: IncomingMessage, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = (): void =>
      reject(new ServiceError('INVALID_ARGUMENT', 'body_too_large', `The body is larger than ${maxBytes} bytes, the most this server takes.`))
    if (request.headers['content-encoding'] !== undefined && request.headers['content-encoding'] !== 'identity') {
      reject(new ServiceError('INVALID_ARGUMENT', 'unsupported_content_encoding', 'Compressed bodies are not supported. Send the JSON as it is.'))
      return
    }
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) {
      tooLarge()
      return
    }
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > maxBytes) {
        request.removeAllListeners('data')
        request.pause()
        tooLarge()
        return
      }
      chunks.push(chunk)
    })
    request.on('end', () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)))
    request.on('error', () => reject(new ServiceError('CANCELLED', 'cancelled', 'The client went away.')))
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
