import { type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import { type AddressInfo } from 'node:net'

/** How the server treats one request; what is left out is done right. */
export interface Behaviour {
  status?: number
  headers?: Record<string, string>
  /** Bytes of the body after which nothing more comes; cutAt() may break the connection then. */
  stallAfter?: number
  /** Ignores Range. */
  noRanges?: boolean
  /** Honours Range whatever If-Range says. */
  ignoreIfRange?: boolean
  /** No Content-Length: the end of the body is the end of the connection. */
  noLength?: boolean
}

export interface ServedRequest {
  path: string
  headers: IncomingHttpHeaders
}

export interface FileServer {
  url: URL
  /** Files by path. */
  files: Map<string, { body: Buffer; etag?: string; type?: string }>
  /** Taken one by one, by requests for `path`; then requests are served right. */
  behaviours: Behaviour[]
  requests: ServedRequest[]
  /** Breaks the connections once `received` bytes of the file are what the stalled answer was to give. Fits `onBytes`. */
  cutAt(received: number): void
  close(): Promise<void>
}

/** A real HTTP server on a free port of 127.0.0.1 that serves files with ranges and misbehaves as told. */
export async function startFileServer(): Promise<FileServer> {
  const files: FileServer['files'] = new Map()
  const behaviours: Behaviour[] = []
  const requests: ServedRequest[] = []
  let stalledAt: number | undefined
  const server = createServer((request, response) => {
    requests.push({ path: request.url ?? '', headers: request.headers })
    const file = files.get(request.url ?? '')
    const behaviour = behaviours.shift() ?? {}
    if (file === undefined && behaviour.status === undefined) response.writeHead(404).end()
    else stalledAt = serve(request, response, file?.body ?? Buffer.alloc(0), file?.etag, file?.type, behaviour)
  })
  const url = await listen(server)
  const cutAt = (received: number): void => {
    if (received === stalledAt) server.closeAllConnections()
  }
  return { url, files, behaviours, requests, cutAt, close: async () => await closeServer(server) }
}

/** Listens on a free port of 127.0.0.1 and tells the address. */
export async function listen(server: Server, scheme = 'http'): Promise<URL> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new URL(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
}

/** Answers; returns the offset in the file at which the answer stalls, if it does. */
function serve(
  request: IncomingMessage,
  response: ServerResponse,
  whole: Buffer,
  etag: string | undefined,
  type: string | undefined,
  behaviour: Behaviour,
): number | undefined {
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
  const ifRange = request.headers['if-range']
  const ranged =
    from !== undefined &&
    behaviour.noRanges !== true &&
    (behaviour.ignoreIfRange === true || ifRange === undefined || ifRange === etag)
  const start = ranged ? Number(from) : 0
  if (ranged && start >= whole.length) {
    response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end()
    return undefined
  }
  const body = whole.subarray(start)
  response.writeHead(behaviour.status ?? (ranged ? 206 : 200), {
    ...(behaviour.noLength === true ? { connection: 'close' } : { 'content-length': String(body.length) }),
    ...(ranged ? { 'content-range': `bytes ${start}-${whole.length - 1}/${whole.length}` } : {}),
    ...(etag === undefined ? {} : { etag }),
    ...(type === undefined ? {} : { 'content-type': type }),
    ...behaviour.headers,
  })
  if (behaviour.noLength === true) response.useChunkedEncodingByDefault = false
  if (behaviour.stallAfter === undefined) {
    response.end(body)
    return undefined
  }
  response.write(body.subarray(0, behaviour.stallAfter))
  return start + behaviour.stallAfter
}
