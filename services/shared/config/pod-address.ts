import { isIPv4 } from 'node:net'

/** Where a server of the same pod listens. */
export type PodAddress = { readonly socketPath: string } | { readonly host: string; readonly port: number }

/**
 * Reads `http://127.0.0.1:8000`, `http://[::1]:8000`, `http://localhost:8000` or `unix:/run/vllm.sock`; undefined for anything else: the
 * worker opens no connection beyond its pod.
 */
export function parsePodAddress(text: string): PodAddress | undefined {
  const socketPath = /^unix:(\/[^\0]{1,100})$/.exec(text)?.[1]
  if (socketPath !== undefined) return { socketPath }
  const [, host, port] = /^http:\/\/(localhost|127(?:\.\d{1,3}){3}|\[::1\]):(\d{1,5})\/?$/.exec(text) ?? []
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  if (host.startsWith('127.') && !isIPv4(host)) return undefined
  // "localhost" is not looked up: that could go to a name server.
  return { host: host === 'localhost' ? '127.0.0.1' : host.replace(/[[\]]/g, ''), port: Number(port) }
}
