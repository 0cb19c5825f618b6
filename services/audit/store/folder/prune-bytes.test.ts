import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { filesWith } from '../../../../test/support/files-with.ts'
import { makeNoteKey } from '../../tlog/note-key.ts'
import { ed25519Signer } from '../../tlog/note.ts'
import { signCheckpoint } from '../../tlog/checkpoint.ts'
import type { LogStore } from '../store.ts'
import { ModelLog } from '../test-support/model-log.ts'
import { openForReading } from './database.ts'
import { openFolderStore } from './folder-store.ts'

const origin = 'intramuros.example/audit'
const signer = ed25519Signer(makeNoteKey(origin).skey)
let folder: string
let store: LogStore
let model: ModelLog
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-bytes-'))
  model = new ModelLog()
  await open()
})
afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true })
})

async function open(): Promise<void> {
  store = await openFolderStore({
    folder,
    lockWaitMs: 0,
    timeoutMs: 20_000,
    onTrouble(error) {
      throw error
    },
  })
}

/** Entries that can be found in files by their number. */
async function append(count: number): Promise<void> {
  const first = model.entries.length
  await model.append(store, Array.from({ length: count }, (_, at) => Buffer.from(`<entry ${first + at}>${'x'.repeat(200)}`)))
}

const publish = (): Promise<void> => model.publish(store, signCheckpoint({ origin, ...model.head }, [signer]))

const holding = (indexes: readonly number[]): Promise<string[]> => filesWith(folder, indexes.map((index) => `<entry ${index}>`))

test('the bytes of what is pruned are in no file: of full bundles, of the last one, of the database and its log', async () => {
  for (const count of [100, 300, 250, 20, 1]) await append(count)
  await publish()
  await append(40)
  await publish()
  await append(3)
  const all = Array.from({ length: 714 }, (_, index) => index)
  expect((await holding(all)).length).toBeGreaterThan(2)
  const some = all.filter((index) => index % 3 === 0)
  await model.prune(store, some)
  expect(await holding(some)).toEqual([])
  // The last bundle's partial file was made anew, and another is made behind it.
  await append(1)
  await publish()
  await model.prune(store, all)
  expect(await holding(all)).toEqual([])
  await store.close()
  await open()
  await append(300)
  await publish()
  const text = (entry: Uint8Array | undefined): string | undefined => entry && Buffer.from(entry).toString('latin1')
  expect((await Array.fromAsync(store.entries(0, model.head.size))).map(text)).toEqual(model.entries.map(text))
})

test('who reads the database for long holds up neither pruning nor records; what was pruned goes when it has left off', async () => {
  await append(50)
  const reader = openForReading(folder)
  try {
    reader.exec('BEGIN')
    reader.prepare('SELECT * FROM head').all()
    await model.prune(store, [7])
    const started = performance.now()
    await append(1)
    await model.prune(store, [8])
    expect(performance.now() - started).toBeLessThan(4000)
    // In the log of the database, which the reader still needs.
    expect(await holding([7, 8])).not.toEqual([])
  } finally {
    reader.close()
  }
  await publish()
  expect(await holding([7, 8])).toEqual([])
})
