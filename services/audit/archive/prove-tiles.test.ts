import fc from 'fast-check'
import { expect, test } from 'vitest'
import { appendTo } from '../test-support/append-to.ts'
import { createMemoryStore } from '../test-support/memory-store.ts'
import { leafHash } from '../tlog/merkle.ts'
import { tilePath } from '../tlog/tile-path.ts'
import { neededTiles } from './needed-tiles.ts'
import { proveTiles, TileFault } from './prove-tiles.ts'

async function logOf(size: number) {
  const store = createMemoryStore()
  const log = appendTo(store)
  for (let at = 0; at < size; at += 3000) {
    await log.append('2026-11-01T00:00:00.000Z', ...Array.from({ length: Math.min(3000, size - at) }, (_, n) => ({ type: 'log.closed', instance: `audit-${at + n}` }) as const))
  }
  const entries: Uint8Array[] = []
  for await (const entry of store.entries(0, size)) if (entry !== undefined) entries.push(entry)
  return { store, entries, head: await store.head() }
}

const sizes = [1, 2, 255, 256, 257, 511, 700, 65_536, 66_000]
const logs = new Map(await Promise.all(sizes.map(async (size) => [size, await logOf(size)] as const)))
const someIndexes = fc.constantFrom(...sizes).chain((size) => fc.record({ size: fc.constant(size), indexes: fc.array(fc.nat(size - 1), { minLength: 1, maxLength: 5 }) }))

async function filesOf(size: number, indexes: readonly number[]): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  for (const place of neededTiles(new Set(indexes.map((index) => Math.floor(index / 256))), size)) {
    const tile = await logs.get(size)?.store.tile(place.level, place.index, place.width)
    if (tile === undefined) throw new Error(`no ${tilePath(place)}`)
    files.set(tilePath(place), tile)
  }
  return files
}

test('the needed tiles prove the entries, and each of them is needed', async () => {
  await fc.assert(
    fc.asyncProperty(someIndexes, async ({ size, indexes }) => {
      const log = logs.get(size)
      if (log === undefined) throw new Error('no such log')
      const files = await filesOf(size, indexes)
      const check = async (): Promise<void> => {
        const tiles = await proveTiles(log.head, (path) => Promise.resolve(files.get(path)))
        for (const index of indexes) expect(Buffer.from(await tiles.leaf(index))).toEqual(leafHash(log.entries[index] ?? new Uint8Array()))
      }
      await check()
      for (const [path, tile] of [...files]) {
        files.delete(path)
        await expect(check()).rejects.toMatchObject({ path, kind: 'missing' })
        files.set(path, tile)
      }
    }),
    { numRuns: 40 },
  )
}, 120_000)

test('a changed bit is found, wherever it is', async () => {
  await fc.assert(
    fc.asyncProperty(someIndexes, fc.nat(), fc.nat(), async ({ size, indexes }, which, bit) => {
      const log = logs.get(size)
      if (log === undefined) throw new Error('no such log')
      const files = await filesOf(size, indexes)
      const [path, tile] = [...files][which % files.size] ?? ['', new Uint8Array()]
      const changed = Uint8Array.from(tile)
      const at = Math.floor(bit / 8) % tile.length
      changed[at] = (changed[at] ?? 0) ^ (1 << (bit % 8))
      files.set(path, changed)
      const check = async (): Promise<void> => {
        const tiles = await proveTiles(log.head, (asked) => Promise.resolve(files.get(asked)))
        for (const index of indexes) await tiles.leaf(index)
      }
      await expect(check()).rejects.toThrow(TileFault)
    }),
    { numRuns: 100 },
  )
}, 120_000)

test('the tiles of all entries are all tiles', () => {
  const places = neededTiles(Array.from({ length: 258 }, (_, index) => index), 66_000)
  expect(places.filter(({ level }) => level === 0).length).toBe(258)
  expect(places.filter(({ level }) => level === 1)).toEqual([{ level: 1, index: 0, width: 256 }, { level: 1, index: 1, width: 1 }])
  expect(places.filter(({ level }) => level === 2)).toEqual([{ level: 2, index: 0, width: 1 }])
})
