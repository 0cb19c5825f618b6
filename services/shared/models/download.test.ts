import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Download, download } from './download.ts'
import { LocalFailure, SourceFailed } from './failures.ts'
import { type HttpClient, createHttpClient } from './http-client.ts'
import { type FileServer, startFileServer } from './test-support/file-server.ts'

const body = randomBytes(300_000)
const sha256 = createHash('sha256').update(body).digest('hex')
const limits = { connectMs: 2000, stallMs: 200, attempts: 3, backoffMs: 1 }

let server: FileServer
let folder: string
let to: string
let client: HttpClient

beforeEach(async () => {
  server = await startFileServer()
  server.files.set('/model', { body, etag: '"one"' })
  folder = await mkdtemp(join(tmpdir(), 'intramuros-download-'))
  to = join(folder, 'model')
  client = createHttpClient({ env: {}, limits })
})

afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

function request(more: Partial<Download> = {}): Download {
  return {
    url: new URL('/model', server.url),
    to,
    size: body.length,
    sha256,
    onBytes: server.cutAt,
    signal: AbortSignal.timeout(10_000),
    ...more,
  }
}

async function isWhole(): Promise<boolean> {
  return (await readFile(to)).equals(body)
}

function ranges(): (string | undefined)[] {
  return server.requests.map(({ headers }) => headers.range)
}

describe('a download', () => {
  test('gives the whole file and tells how far it is', async () => {
    const seen: number[] = []
    await download(request({ onBytes: (received, total) => seen.push(received, total ?? -1) }), client)
    expect(await isWhole()).toBe(true)
    expect(seen.slice(0, 2)).toEqual([0, body.length])
    expect(seen.slice(-2)).toEqual([body.length, body.length])
    expect(ranges()).toEqual([undefined])
  })

  test('goes on where the connection broke', async () => {
    server.behaviours.push({ stallAfter: 100_000 })
    await download(request(), client)
    expect(await isWhole()).toBe(true)
    expect(ranges()).toEqual([undefined, 'bytes=100000-'])
    expect(server.requests[1]?.headers['if-range']).toBe('"one"')
  })

  test('is whole wherever and however often it breaks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 6 }), fc.boolean(), async (cuts, noRanges) => {
        await rm(to, { force: true })
        server.behaviours.splice(0, Infinity, ...cuts.map((stallAfter) => ({ stallAfter })), { noRanges })
        await download(request(), client)
        expect(await isWhole()).toBe(true)
      }),
      { numRuns: 15 },
    )
  })

  test('goes on with what an earlier process left', async () => {
    const stop = new AbortController()
    server.behaviours.push({ stallAfter: 120_000 })
    const first = download(
      request({ signal: stop.signal, onBytes: (received) => received >= 120_000 && stop.abort(new Error('stopped')) }),
      client,
    )
    await expect(first).rejects.toThrow('stopped')
    expect(await readFile(to)).toHaveLength(120_000)

    await download(request(), createHttpClient({ env: {}, limits }))
    expect(await isWhole()).toBe(true)
    expect(ranges()).toEqual([undefined, 'bytes=120000-'])
  })

  test('asks for nothing when an earlier process left all of it', async () => {
    await writeFile(to, body)
    await download(request(), client)
    expect(server.requests).toEqual([])
  })

  test('begins anew when the server knows no ranges', async () => {
    server.behaviours.push({ stallAfter: 100_000 }, { noRanges: true })
    await download(request(), client)
    expect(await isWhole()).toBe(true)
  })

  test.each([false, true])(
    'begins anew when the file changed in between (server that ignores If-Range: %s)',
    async (ignoreIfRange) => {
      const older = randomBytes(body.length)
      server.files.set('/model', { body: older, etag: '"older"' })
      server.behaviours.push({ stallAfter: 90_000 })
      const stop = new AbortController()
      const onBytes = (received: number): void => {
        if (received >= 90_000) stop.abort(new Error('stopped'))
      }
      await expect(download(request({ signal: stop.signal, onBytes }), client)).rejects.toThrow('stopped')

      server.files.set('/model', { body, etag: '"one"' })
      server.behaviours.push({ ignoreIfRange })
      // Without a digest there is only the server's word to tell the pieces apart.
      await download(request({ sha256: undefined }), client)
      expect(await isWhole()).toBe(true)
      expect(server.requests[1]?.headers['if-range']).toBe('"older"')
    },
  )

  test('begins anew, once, when the pieces give a wrong digest', async () => {
    await writeFile(to, randomBytes(50_000))
    await download(request(), client)
    expect(await isWhole()).toBe(true)
    expect(ranges()).toEqual(['bytes=50000-', undefined])
  })

  test('begins anew when more is here than the file has', async () => {
    await writeFile(to, randomBytes(400_000))
    await download(request(), client)
    expect(await isWhole()).toBe(true)
  })

  test('takes a silence for a broken connection', async () => {
    server.behaviours.push({ stallAfter: 100_000 })
    await download(request({ onBytes: () => undefined }), client)
    expect(ranges()).toEqual([undefined, 'bytes=100000-'])
  })

  test('notices an end before the end where the server tells no length', async () => {
    server.behaviours.push({ noLength: true, stallAfter: 100_000 })
    await download(request(), client)
    expect(await isWhole()).toBe(true)
    expect(ranges()).toEqual([undefined, 'bytes=100000-'])
  })

  test('waits for a busy server', async () => {
    server.behaviours.push({ status: 503, headers: { 'retry-after': '0' } }, { status: 429 })
    await download(request(), client)
    expect(await isWhole()).toBe(true)
  })
})

describe('a download fails', () => {
  test('at once when the file is not there', async () => {
    server.files.clear()
    await expect(download(request(), client)).rejects.toThrow('has no such file (HTTP 404)')
    expect(server.requests).toHaveLength(1)
  })

  test('at once when access is refused', async () => {
    server.behaviours.push({ status: 403 })
    await expect(download(request(), client)).rejects.toThrow('access refused (HTTP 403)')
  })

  test('after some tries without progress', async () => {
    server.behaviours.push({ stallAfter: 0 }, { stallAfter: 0 }, { stallAfter: 0 }, { stallAfter: 0 })
    await expect(download(request({ onBytes: () => undefined }), client)).rejects.toThrow(
      'nothing came for 0.2 s, 3 times in a row',
    )
    expect(server.requests).toHaveLength(3)
  })

  test('on a wrong digest, and leaves nothing', async () => {
    server.files.set('/model', { body: randomBytes(body.length) })
    await expect(download(request(), client)).rejects.toThrow(/^gave a file with the SHA-256 [0-9a-f]{64} instead of/)
    expect(server.requests).toHaveLength(1)
    expect(await readdir(folder)).toEqual([])
  })

  test('on a file of another size before its bytes come', async () => {
    server.files.set('/model', { body: Buffer.from('<html>Log in to the proxy</html>') })
    await expect(download(request(), client)).rejects.toThrow('offers a file of 32 bytes instead of 300000')
    expect(await readdir(folder)).toEqual([])
  })

  test('when more bytes come than the file has', async () => {
    server.files.set('/model', { body: randomBytes(body.length + 1) })
    server.behaviours.push({ noLength: true })
    await expect(download(request(), client)).rejects.toThrow('sends more than the 300000 bytes')
  })

  test('before the first byte when the disk has no room, and no other source would help', async () => {
    const huge = 10 ** 15 - 1
    server.behaviours.push({ headers: { 'content-length': String(huge) } })
    const failure = download(request({ size: huge }), client)
    await expect(failure).rejects.toThrow(/^Not enough space in .*: 999999999999999 more bytes are needed/)
    await expect(failure).rejects.toBeInstanceOf(LocalFailure)
  })

  test('at once, without further tries, when nobody is there', async () => {
    await server.close()
    const failure = download(request(), createHttpClient({ env: {}, limits: { ...limits, backoffMs: 60_000 } }))
    await expect(failure).rejects.toThrow('connection refused (ECONNREFUSED)')
    await expect(failure).rejects.toBeInstanceOf(SourceFailed)
    server = await startFileServer()
  })

  test('when told to stop, during a pause too', async () => {
    server.behaviours.push({ status: 503 })
    const stop = new AbortController()
    const failure = download(
      request({ signal: stop.signal }),
      createHttpClient({ env: {}, limits: { ...limits, backoffMs: 60_000 } }),
    )
    await expect.poll(() => server.requests.length).toBe(1)
    stop.abort(new Error('stopped'))
    await expect(failure).rejects.toThrow(/stopped|aborted/)
  })
})
