import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { followLog } from './follow-log.ts'
import { openSigner, type Signer, SignerError } from './signer.ts'
import type { LogStore } from './store/store.ts'
import { appendTo, type TestLog } from './test-support/append-to.ts'
import { refusedOf, timeOf } from './test-support/example-records.ts'
import { createMemoryStore } from './test-support/memory-store.ts'

const quiet = (): void => undefined
const silent = { debug: quiet, info: quiet, warn: quiet, error: quiet }
let home: string
let stop: (() => Promise<void>) | undefined
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), 'audit-follow-'))))
afterEach(async () => {
  await stop?.()
  await rm(home, { recursive: true })
})

/** The one that writes, with a key of its own, and another with the same key and a memory of its own. */
async function writer(): Promise<{ store: LogStore; log: TestLog; signer: Signer; publish(): Promise<void> }> {
  const store = createMemoryStore()
  const log = appendTo(store)
  const signer = await openSigner({ folder: join(home, 'first'), origin: '', isNew: true })
  return {
    store,
    log,
    signer,
    publish: async () => await store.publish(await store.checkpoint(), await signer.sign({ size: log.size, root: log.root })),
  }
}

const standby = (): Promise<Signer> => openSigner({ folder: join(home, 'second'), keyFile: join(home, 'first/log.key'), origin: '', isNew: false })

async function remembered(): Promise<number | undefined> {
  const text = await readFile(join(home, 'second/signed.json'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as { size: number }).size
}

test('remembers what the other has signed, tells the index of it, and refuses an old copy that is put in its place', async () => {
  const { store, log, publish } = await writer()
  const wanted: number[] = []
  let shown: LogStore = store
  const refused = Promise.withResolvers<SignerError>()
  stop = followLog({
    store: { head: () => shown.head(), tile: (level, index, width) => shown.tile(level, index, width), checkpoint: () => shown.checkpoint() },
    openSigner: standby,
    index: {
      reached(size) {
        wanted.push(size)
        return Promise.resolve()
      },
    },
    log: silent,
    onRefused: (error) => refused.resolve(error),
    intervalMs: 5,
  })
  for (const count of [3, 300, 700]) {
    for (let n = 0; n < count; n += 1) await log.append(timeOf(n), refusedOf())
    await publish()
    await expect.poll(remembered).toBe(log.size)
    await expect.poll(() => wanted.at(-1)).toBe(log.size)
  }
  // As it was before the last two checkpoints, and grown again by other records.
  const old = createMemoryStore()
  const oldLog = appendTo(old)
  for (let n = 0; n < 3; n += 1) await oldLog.append(timeOf(n), refusedOf())
  shown = old
  expect((await refused.promise).message).toContain('restored from an old copy')
  await expect(standby()).resolves.toMatchObject({ signed: { size: 1003 } })
})

test('a fork that is longer is refused, whoever signed it, and not remembered', async () => {
  const { store, log, signer, publish } = await writer()
  await log.append(timeOf(0), refusedOf(), refusedOf())
  await publish()
  const second = await standby()
  await second.learn((await store.checkpoint()) ?? '', store)
  const other = createMemoryStore()
  const fork = appendTo(other)
  await fork.append(timeOf(1), refusedOf(), refusedOf({ count: 9 }), refusedOf())
  const note = await (await openSigner({ folder: join(home, 'third'), keyFile: join(home, 'first/log.key'), origin: '', isNew: false })).sign({ size: fork.size, root: fork.root })
  await expect(second.learn(note, other)).rejects.toThrow(SignerError)
  expect(second.signed?.size).toBe(2)
  // Nor is one of another key.
  const stranger = await openSigner({ folder: join(home, 'stranger'), origin: signer.origin, isNew: true })
  await expect(second.learn(await stranger.sign({ size: fork.size, root: fork.root }), other)).rejects.toThrow('has not signed')
})
