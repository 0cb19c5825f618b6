import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ModelEntry } from './catalogue.ts'
import { type FetchOptions, fetchModel, fetchToPin } from './fetch.ts'
import { partsAfter } from '../gguf/part-names.ts'
import { storedPath } from './store.ts'
import { type FileServer, startFileServer } from './test-support/file-server.ts'
import { flipped, splitModel } from './test-support/split-model.ts'

const { contents, entry: local } = splitModel()
const entry = { ...local, from: { hub: { repo: 'o/m', revision: 'main', file: 'Q4/m-00001-of-00003.gguf' } } }
const urls = [1, 2, 3].map((part) => `/o/m/resolve/main/Q4/m-0000${part}-of-00003.gguf`)

let server: FileServer
let home: string
beforeEach(async () => {
  server = await startFileServer()
  home = await mkdtemp(join(tmpdir(), 'intramuros-fetch-parts-'))
  for (const [part, url] of urls.entries()) server.files.set(url, { body: contents[part] ?? Buffer.alloc(0) })
})
afterEach(async () => {
  await server.close()
  await rm(home, { recursive: true })
})

function options(): FetchOptions {
  return {
    home,
    env: { HOME: home, PIP_CONFIG_FILE: '/dev/null', PATH: home, PIP_NO_INDEX: '1' },
    hubEndpoint: server.url.href,
    limits: { connectMs: 1000, stallMs: 500, attempts: 2, backoffMs: 1 },
    signal: AbortSignal.timeout(10_000),
  }
}

async function failure(attempt: Promise<unknown>): Promise<string> {
  const thrown: unknown = await attempt.then(() => undefined, (error: unknown) => error)
  if (!(thrown instanceof Error)) throw new Error('nothing was thrown')
  return thrown.message
}

test('all parts are fetched, under names that belong together, and only those that are not there', async () => {
  const first = await fetchModel(entry, options())
  expect(first).toBe(storedPath(home, entry))
  const places = [first, ...partsAfter(first)]
  expect(await Promise.all(places.map((path) => readFile(path)))).toEqual(contents)
  expect(server.requests.map(({ path }) => path)).toEqual(urls)
  await rm(places[1] ?? '')
  await writeFile(places[2] ?? '', flipped(contents[2]))
  expect(await fetchModel(entry, options())).toBe(first)
  expect(server.requests.map(({ path }) => path)).toEqual([...urls, ...urls.slice(1)])
  expect(await Promise.all(places.map((path) => readFile(path)))).toEqual(contents)
  expect(await readdir(join(home, 'models/partial'))).toEqual([])
})

test('a part that comes as something else is not taken, and is named', async () => {
  server.files.set(urls[1] ?? '', { body: flipped(contents[1]) })
  const message = await failure(fetchModel(entry, options()))
  expect(message).toContain(storedPath(home, entry).replace('00001', '00002'))
  expect(message).toContain(`SHA-256  ${entry.parts[0]?.sha256}`)
  expect((await readdir(join(home, 'models'))).filter((name) => /-0000[23]-of-/.test(name))).toEqual([])
})

test('where nothing can be fetched, what to put there by hand is told with its parts', async () => {
  const message = await failure(fetchModel(entry, { ...options(), offline: true }))
  expect(message).toContain(`  ${storedPath(home, entry)}\n`)
  expect(message).toContain('and the other 2 of its parts must lie beside it')
})

test('an entry that pins not all of the parts is refused before anything is fetched', async () => {
  const { parts: _, ...alone } = entry
  expect(await failure(fetchModel(alone, options()))).toContain('pins the first of 3 parts alone')
  const { sha256: __, size: ___, ...unpinned }: ModelEntry = alone
  expect(await failure(fetchToPin(unpinned, options()))).toContain('write sha256 (of the first) and parts (of the others, in their order) into it')
  expect(server.requests).toEqual([])
})
