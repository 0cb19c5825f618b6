import { expect, test } from 'vitest'
import { createGrowingLog } from './anchors/test-support/growing-log.ts'
import { openPublisher } from './publisher.ts'
import type { Signer } from './signer.ts'
import { HeadMovedError, StoreError } from './store/store.ts'
import { parseCheckpoint } from './tlog/checkpoint.ts'
import { parseNote } from './tlog/note.ts'

const quiet = (): undefined => undefined
const sizeOf = (note: string): number => parseCheckpoint(parseNote(note).text).size

/** A store whose disk hangs when it is told to: what it was asked is given up, and done all the same once the disk answers. */
async function setUp(): Promise<{ grow(size: number): void; hang(): void; answer(): void; stored(): string | undefined; steal(note: string): void; forked: unknown[]; publisher: Awaited<ReturnType<typeof openPublisher>> }> {
  const log = createGrowingLog('a')
  const forked: unknown[] = []
  let head = { size: 0, root: Buffer.alloc(32) }
  let stored: string | undefined
  let hanging = false
  let queue: (() => void)[] = []
  const put = (previous: string | undefined, note: string): boolean => {
    if (stored !== previous) return false
    stored = note
    return true
  }
  const store = {
    checkpoint: () => Promise.resolve(stored),
    publish(previous: string | undefined, note: string) {
      if (hanging) {
        queue.push(() => put(previous, note))
        return Promise.reject(new StoreError('too slow', { stored: 'unknown', trouble: 'slow' }))
      }
      return put(previous, note) ? Promise.resolve() : Promise.reject(new HeadMovedError('moved'))
    },
  }
  const signer: Signer = { origin: '', vkey: log.vkey, signed: undefined, learn: () => Promise.resolve(), sign: ({ size }) => Promise.resolve(log.checkpoint(size).note), sizeOf }
  const publisher = await openPublisher({ store, signer, head: () => head, log: { debug: quiet, info: quiet, warn: quiet, error: quiet }, intervalMs: 3_600_000, onForked: (cause) => void forked.push(cause) })
  return {
    grow: (size) => void (head = { ...head, size }),
    hang: () => void (hanging = true),
    answer() {
      hanging = false
      for (const run of queue) run()
      queue = []
    },
    stored: () => stored,
    steal: (note) => void (stored = note),
    forked,
    publisher,
  }
}

test('a checkpoint that was given up and published after all is taken for our own, and the next one replaces it', async () => {
  const { grow, hang, answer, stored, forked, publisher } = await setUp()
  grow(5)
  await publisher.checkpointOf(5)
  hang()
  for (const size of [7, 9]) {
    grow(size)
    await expect(publisher.checkpointOf(size)).rejects.toMatchObject({ reason: 'audit_unavailable' })
  }
  answer()
  expect(sizeOf(stored() ?? '')).toBe(7)
  grow(11)
  // It finds out what became of the first, and then goes on.
  await expect(publisher.checkpointOf(11)).rejects.toMatchObject({ reason: 'audit_unavailable' })
  expect(sizeOf(await publisher.checkpointOf(11))).toBe(11)
  expect(sizeOf(stored() ?? '')).toBe(11)
  expect(forked).toEqual([])
  await publisher.close()
})

test("another writer's is not, also while ours are in doubt", async () => {
  const { grow, hang, answer, steal, forked, publisher } = await setUp()
  grow(5)
  await publisher.checkpointOf(5)
  hang()
  grow(7)
  await expect(publisher.checkpointOf(7)).rejects.toMatchObject({ reason: 'audit_unavailable' })
  steal('of another\n')
  answer()
  await expect(publisher.checkpointOf(7)).rejects.toMatchObject({ reason: 'audit_unavailable' })
  expect(forked).toEqual([expect.any(HeadMovedError)])
  await publisher.close()
})
