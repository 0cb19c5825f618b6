import { createHash } from 'node:crypto'
import { type Anchor, AnchorConflictError, AnchorError } from './anchor.ts'
import { checkpointFileName, compareWithFound } from './checkpoint-file.ts'
import type { HttpAnswer, HttpServer } from './http-call.ts'
import { encodeSegment, formatQuery, sha256, sigV4Time, signV4, type SigV4Credentials } from './sigv4.ts'

export interface S3AnchorOptions {
  name: string
  server: HttpServer
  region: string
  bucket: string
  /** Before the names of the objects, with slashes as wanted; may be empty. */
  prefix: string
  /** How long nobody, its owner included, can delete an object or shorten that. */
  retentionDays: number
  /** Read for each call, so that they can be changed. */
  credentials: () => Promise<SigV4Credentials>
  /** Milliseconds since 1970. */
  clock: () => number
}

const dayMs = 86_400_000

/**
 * One object for each checkpoint, locked in compliance mode until its date, and only where there is none (If-None-Match). After each, the
 * server is asked whether the lock is there: some take the headers and lock nothing.
 */
export function createS3Anchor({ name, server, region, bucket, prefix, retentionDays, credentials, clock }: S3AnchorOptions): Anchor {
  const folder = `/${[bucket, ...prefix.split('/').filter((part) => part !== '')].map(encodeSegment).join('/')}`

  async function call({ method, path, query = {}, headers = {}, body = '' }: { method: 'GET' | 'HEAD' | 'PUT'; path: string; query?: Record<string, string>; headers?: Record<string, string>; body?: string }, signal: AbortSignal): Promise<HttpAnswer> {
    const time = sigV4Time(clock())
    const bodySha256 = sha256(body)
    const all = { ...headers, host: server.host, 'x-amz-content-sha256': bodySha256, 'x-amz-date': time }
    const authorization = signV4({ method, path, query, headers: all, bodySha256 }, await credentials(), { region, service: 's3', time })
    const search = formatQuery(query)
    return await server.call({ method, path: search === '' ? path : `${path}?${search}`, headers: { ...all, authorization }, body }, signal)
  }

  async function put(path: string, note: string, signal: AbortSignal): Promise<'made' | 'there'> {
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      'content-md5': digest('md5', note),
      'if-none-match': '*',
      'x-amz-checksum-sha256': digest('sha256', note),
      'x-amz-object-lock-mode': 'COMPLIANCE',
      'x-amz-object-lock-retain-until-date': new Date(clock() + retentionDays * dayMs).toISOString(),
      'x-amz-sdk-checksum-algorithm': 'SHA256',
    }
    const answer = await call({ method: 'PUT', path, headers, body: note }, signal)
    if (answer.status === 412) return 'there'
    if (answer.status !== 200) throw refused('PUT', answer)
    return 'made'
  }

  async function compare(path: string, note: string, size: number, signal: AbortSignal): Promise<void> {
    const answer = await call({ method: 'GET', path }, signal)
    if (answer.status !== 200) throw refused('GET', answer)
    const verdict = compareWithFound(note, answer.body.toString('utf8'))
    if (verdict === 'other') throw new AnchorConflictError(`The bucket has another checkpoint of ${size} records than the log: one of the two was forged, or this is the prefix of another log.`)
    if (verdict !== 'same') throw new AnchorConflictError(`The object of ${size} records in the bucket is no checkpoint: somebody wrote it.`)
  }

  /** Of one from before, the lock may have run out by now. */
  async function checkLock(path: string, { isNew }: { isNew: boolean }, signal: AbortSignal): Promise<void> {
    const answer = await call({ method: 'HEAD', path }, signal)
    if (answer.status !== 200) throw refused('HEAD', answer)
    const until = Date.parse(String(answer.headers['x-amz-object-lock-retain-until-date'] ?? ''))
    const locked = answer.headers['x-amz-object-lock-mode'] === 'COMPLIANCE' && until > (isNew ? clock() : 0)
    if (!locked) throw new AnchorError('The object is there, but the server does not say that it is locked: is object lock on for the bucket, and may this key read retentions (s3:GetObjectRetention)?')
  }

  /** The names are in the order of the sizes. */
  async function refuseLarger(size: number, signal: AbortSignal): Promise<void> {
    const own = folder.slice(1).split('/').slice(1).map(decodeURIComponent)
    const after = [...own, checkpointFileName(size)].join('/')
    const within = own.length === 0 ? '' : `${own.join('/')}/`
    const answer = await call({ method: 'GET', path: `/${encodeSegment(bucket)}`, query: { 'list-type': '2', 'max-keys': '1', prefix: within, 'start-after': after } }, signal)
    // Not every key may list; then only equal sizes are compared.
    if (answer.status === 403) return
    if (answer.status !== 200) throw refused('LIST', answer)
    const larger = /<Key>[^<]*?(\d{16})\.checkpoint<\/Key>/.exec(answer.body.toString('utf8'))?.[1]
    if (larger !== undefined && Number(larger) > size) throw new AnchorConflictError(`The bucket has a checkpoint of ${Number(larger)} records, and the log's newest is of ${size}: the log was set back, or this is the prefix of another one.`)
  }

  return {
    name,
    kind: 's3',
    async put({ size, note }, signal) {
      const path = `${folder}/${checkpointFileName(size)}`
      await refuseLarger(size, signal)
      const isNew = (await put(path, note, signal)) === 'made'
      if (!isNew) await compare(path, note, size, signal)
      await checkLock(path, { isNew }, signal)
    },
    close: () => server.close(),
  }
}

/** Its code alone: the message of a server is not ours to log. */
function refused(what: string, { status, body }: HttpAnswer): AnchorError {
  const code = /<Code>([A-Za-z]{1,64})<\/Code>/.exec(body.toString('utf8'))?.[1]
  return new AnchorError(`The server answered ${what} with status ${status}${code === undefined ? '' : ` (${code})`}.`)
}

function digest(algorithm: 'md5' | 'sha256', text: string): string {
  return createHash(algorithm).update(text).digest('base64')
}
