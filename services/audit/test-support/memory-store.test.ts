import { expect, test } from 'vitest'
import { HeadMovedError, StoreError } from '../store/store.ts'
import { appendTo } from './append-to.ts'
import { createMemoryStore } from './memory-store.ts'

const entry = { type: 'log.closed', instance: 'audit' } as const

test('it keeps entries, tiles that hash to the head, and prunes', async () => {
  const store = createMemoryStore()
  const log = appendTo(store)
  for (let batch = 0; batch < 5; batch += 1) await log.append('2026-11-01T00:00:00.000Z', ...Array.from({ length: 60 }, () => entry))
  expect(await store.head()).toEqual({ size: 300, root: log.root })
  expect((await store.tile(0, 0, 256))?.length).toBe(256 * 32)
  expect((await store.tile(0, 1, 44))?.length).toBe(44 * 32)
  expect((await store.tile(1, 0, 1))?.length).toBe(32)
  expect(await store.tile(0, 1, 45)).toBeUndefined()
  await store.prune([3])
  const found: boolean[] = []
  for await (const bytes of store.entries(2, 5)) found.push(bytes !== undefined)
  expect(found).toEqual([true, false, true])
})

test('two writers, and appends that fail', async () => {
  const store = createMemoryStore()
  const log = appendTo(store)
  const other = appendTo(store)
  await log.append('2026-11-01T00:00:00.000Z', entry)
  await expect(other.append('2026-11-01T00:00:00.000Z', entry)).rejects.toThrow(HeadMovedError)
  store.failNext('no')
  await expect(log.append('2026-11-01T00:00:00.000Z', entry)).rejects.toThrow(StoreError)
  expect((await store.head()).size).toBe(1)
  await log.append('2026-11-01T00:00:00.000Z', entry)
  store.failNext('unknown, but stored')
  await expect(log.append('2026-11-01T00:00:00.000Z', entry)).rejects.toMatchObject({ stored: 'unknown' })
  expect((await store.head()).size).toBe(3)
})
