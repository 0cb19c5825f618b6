import { expect, test } from 'vitest'
import { openPublisher } from './publisher.ts'
import type { Signer } from './signer.ts'
import { HeadMovedError, type TreeHead } from './store/store.ts'
import { createGrowingLog } from './anchors/test-support/growing-log.ts'

const quiet = (): undefined => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const cosignature = '— w.example/1 AAAAAAA=\n'

async function setUp(): Promise<{ grow(size: number): void; forked: unknown[]; publisher: Awaited<ReturnType<typeof openPublisher>>; stored(): string | undefined; steal(note: string): void }> {
  const log = createGrowingLog('a')
  let head: TreeHead = { size: 0, root: Buffer.alloc(32) }
  let stored: string | undefined
  const forked: unknown[] = []
  const signer: Signer = { origin: '', vkey: log.vkey, signed: undefined, sign: ({ size }) => Promise.resolve(log.checkpoint(size).note), learn: () => Promise.resolve(), sizeOf: () => 0 }
  const store = {
    checkpoint: () => Promise.resolve(stored),
    async publish(previous: string | undefined, note: string) {
      await Promise.resolve()
      if (stored !== previous) throw new HeadMovedError('moved')
      stored = note
    },
  }
  const publisher = await openPublisher({ store, signer, head: () => head, log: logger, intervalMs: 3_600_000, onForked: (cause) => void forked.push(cause) })
  return { grow: (size) => void (head = { ...head, size }), forked, publisher, stored: () => stored, steal: (note) => void (stored = note) }
}

test('cosignatures come to the published checkpoint, and the next one takes its place', async () => {
  const { grow, publisher, stored, forked } = await setUp()
  grow(5)
  const note = await publisher.checkpointOf(5)
  await publisher.publishCosigned(`${note}${cosignature}`)
  expect(stored()).toBe(`${note}${cosignature}`)
  expect(await publisher.checkpointOf(5)).toBe(`${note}${cosignature}`)
  grow(6)
  const next = await publisher.checkpointOf(6)
  expect(stored()).toBe(next)
  await publisher.publishCosigned(`${note}${cosignature}`)
  expect(stored()).toBe(next)
  // Both at once: neither takes the other for somebody else's.
  grow(7)
  await Promise.all([publisher.publishCosigned(`${next}${cosignature}`), publisher.checkpointOf(7), publisher.publishCosigned(`${next}${cosignature}`)])
  expect(stored()).toBe(await publisher.checkpointOf(7))
  expect(forked).toEqual([])
  await publisher.close()
})

test('another writer is noticed', async () => {
  const { grow, publisher, forked, steal } = await setUp()
  grow(5)
  const note = await publisher.checkpointOf(5)
  steal('of another\n')
  await expect(publisher.publishCosigned(`${note}${cosignature}`)).rejects.toThrow(HeadMovedError)
  expect(forked).toHaveLength(1)
})
