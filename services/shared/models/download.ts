import { type FileHandle, mkdir, open, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import Type, { type Static } from 'typebox'
import { Value } from 'typebox/value'
import { sha256OfFile } from './digest.ts'
import { Interrupted, LocalFailure, SourceFailed, Unreachable, diskFailure, networkReason } from './failures.ts'
import type { HttpClient } from './http-client.ts'

export interface Download {
  url: URL
  /** File that the bytes are appended to. What an earlier try left there is gone on with. */
  to: string
  /** Bytes that the whole file must have; unknown when left out. */
  size?: number | undefined
  /** SHA-256 that the whole file must have; not checked when left out. */
  sha256?: string | undefined
  onBytes: (received: number, total: number | undefined) => void
  signal: AbortSignal
}

/** What the server said of the file whose first bytes are here: proves on resuming that it still is the same file. */
const Origin = Type.Object({
  etag: Type.Optional(Type.String()),
  lastModified: Type.Optional(Type.String()),
  total: Type.Optional(Type.Integer()),
})
type Origin = Static<typeof Origin>

/**
 * Downloads a file with resumption (RFC 9110: Range, If-Range), over broken connections and over restarts of this process.
 * Resolves when all of it is at `to` with the right size and digest, which is read back from the disk. A file of the wrong
 * digest is deleted; if it was pieced together it is fetched once more in one go, as the pieces may be of two files. Throws
 * SourceFailed or LocalFailure.
 */
export async function download(request: Download, client: HttpClient): Promise<void> {
  await mkdir(dirname(request.to), { recursive: true, mode: 0o700 })
  for (let clean = false; ; clean = true) {
    const { resumed } = await transferAll(request, client)
    const problem = await problemOf(request.to, request, request.signal)
    if (problem === undefined) return
    await discard(request.to)
    if (!resumed || clean) throw new SourceFailed(problem)
  }
}

/** Deletes a download's file and what is known of its origin. */
export async function discard(path: string): Promise<void> {
  await Promise.all([rm(path, { force: true }), rm(originPath(path), { force: true })])
}

async function transferAll(request: Download, client: HttpClient): Promise<{ resumed: boolean }> {
  const { attempts, backoffMs } = client.limits
  let resumed = false
  let underWay = false
  for (let failures = 0; ;) {
    const start = await sizeOf(request.to)
    try {
      resumed = (await transfer(request, client)) || resumed
      return { resumed }
    } catch (error) {
      request.signal.throwIfAborted()
      const progressed = (await sizeOf(request.to)) > start
      underWay ||= progressed
      // Nobody there at all is the rule at closed sites, and no reason to wait; a download under way is worth patience.
      if (!(error instanceof Interrupted) || (error instanceof Unreachable && !underWay))
        throw diskFailure(error, dirname(request.to))
      failures = progressed ? 1 : failures + 1
      if (failures >= attempts) throw new SourceFailed(`${error.message}, ${attempts} times in a row`, { cause: error })
      const pause = Math.min(error.retryAfterMs ?? 0, 30_000)
      await wait(Math.max(pause, backoffMs * 2 ** (failures - 1)), undefined, { signal: request.signal })
    }
  }
}

/** One request and its body. Returns whether it continued a file begun earlier. */
async function transfer(request: Download, client: HttpClient): Promise<boolean> {
  const { url, to, signal } = request
  const have = await sizeOf(to)
  const origin = await readOrigin(to)
  const total = request.size ?? origin.total
  if (have > 0 && have === total) return true
  const validator = origin.etag?.startsWith('"') === true ? origin.etag : origin.lastModified
  const range = have === 0 ? {} : { range: `bytes=${have}-`, ...(validator === undefined ? {} : { 'if-range': validator }) }
  const { response } = await client.get(url, { 'accept-encoding': 'identity', 'user-agent': 'intramuros', ...range }, signal)
  try {
    const start = startOf(response, have, origin)
    if (start === undefined) {
      // The range doesn't fit the file that the server has now.
      await discard(to)
      throw new Interrupted('the file changed on the server')
    }
    const length = contentLength(response)
    const offered = length === undefined ? undefined : start + length
    if (request.size !== undefined && offered !== undefined && offered !== request.size) {
      await discard(to)
      throw new SourceFailed(`offers a file of ${offered} bytes instead of ${request.size}`)
    }
    await refuseWithoutSpace(dirname(to), length ?? 0)
    if (start === 0) {
      // In this order a crash in between leaves no bytes of one file with the origin of another.
      await discard(to)
      await writeOrigin(to, response, offered)
    }
    await append(response, start, request, offered)
    return start > 0
  } finally {
    response.destroy()
  }
}

/**
 * Offset at which the body of this response begins; undefined when the file has to be begun anew. Throws on a status of
 * failure.
 */
function startOf(response: IncomingMessage, have: number, origin: Origin): number | undefined {
  const status = response.statusCode ?? 0
  if (status === 200) return 0
  if (status === 416 && have > 0) return undefined
  if (status === 206) {
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers['content-range'] ?? '') ?? []
    const changed =
      (origin.etag !== undefined && response.headers.etag !== undefined && origin.etag !== response.headers.etag) ||
      (origin.total !== undefined && total !== '*' && Number(total) !== origin.total)
    return Number(first) === have && !changed ? have : undefined
  }
  throw statusFailure(response)
}

/** An HTTP status that gives no file, in plain words. */
export function statusFailure({ statusCode: status = 0, headers }: IncomingMessage): SourceFailed {
  if (status === 404 || status === 410) return new SourceFailed(`has no such file (HTTP ${status})`)
  if (status === 401 || status === 403) return new SourceFailed(`access refused (HTTP ${status}); it may need credentials`)
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const seconds = Number(headers['retry-after'])
    return new Interrupted(`answers HTTP ${status}`, { retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined })
  }
  return new SourceFailed(`answers HTTP ${status}`)
}

async function append(
  body: IncomingMessage,
  start: number,
  { to, size, onBytes, signal }: Download,
  total: number | undefined,
): Promise<void> {
  const file = await open(to, start === 0 ? 'w' : 'r+', 0o600)
  let position = start
  onBytes(position, size ?? total)
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (size !== undefined && position + chunk.length > size)
        throw new SourceFailed(`sends more than the ${size} bytes of the file`)
      await writeAll(file, chunk, position)
      position += chunk.length
      onBytes(position, size ?? total)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SourceFailed) throw error
    const local = diskFailure(error, dirname(to))
    throw local instanceof LocalFailure ? local : new Interrupted(networkReason(error), { cause: error })
  } finally {
    await file.close()
  }
  const whole = size ?? total
  if (whole !== undefined && position < whole) throw new Interrupted(`ended after ${position} of ${whole} bytes`)
}

/** Written at its own offset, so that two processes which fetch the same file write the same bytes to the same places. */
async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** What is wrong with a file that was fetched, in plain words; undefined when size and digest, where given, are right. */
export async function problemOf(
  path: string,
  { size, sha256 }: Pick<Download, 'size' | 'sha256'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await sizeOf(path)
  if (size !== undefined && found !== size) return `gave ${found} bytes instead of ${size}`
  if (sha256 === undefined) return undefined
  const digest = await sha256OfFile(path, signal)
  return digest === sha256 ? undefined : `gave a file with the SHA-256 ${digest} instead of ${sha256}; it was deleted`
}

/** Throws LocalFailure when the folder's disk has fewer free bytes than this. */
export async function refuseWithoutSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize, blocks } = await statfs(folder)
  // Some network file systems tell nothing about their size.
  if (blocks === 0 || bavail * bsize >= bytes) return
  throw new LocalFailure(`Not enough space in ${folder}: ${bytes} more bytes are needed, ${bavail * bsize} are free.`)
}

function contentLength(response: IncomingMessage): number | undefined {
  const value = response.headers['content-length']
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path)
    .then((stats) => stats.size)
    .catch(() => 0)
}

function originPath(path: string): string {
  return `${path}.origin.json`
}

async function readOrigin(path: string): Promise<Origin> {
  try {
    const origin: unknown = JSON.parse(await readFile(originPath(path), 'utf8'))
    return Value.Check(Origin, origin) ? origin : {}
  } catch {
    return {}
  }
}

async function writeOrigin(path: string, { headers }: IncomingMessage, total: number | undefined): Promise<void> {
  const origin: Origin = {}
  if (headers.etag !== undefined) origin.etag = headers.etag
  if (headers['last-modified'] !== undefined) origin.lastModified = headers['last-modified']
  if (total !== undefined) origin.total = total
  await writeFile(originPath(path), JSON.stringify(origin), { mode: 0o600 })
}
