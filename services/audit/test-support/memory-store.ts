import { emptyRoot, hashBytes, leafHashes, perfectRoot } from '../tlog/merkle.ts'
import { fullWidth, widthAt } from '../tlog/tile-path.ts'
import { type Batch, HeadMovedError, type LogStore, StoreError, type TreeHead } from '../store/store.ts'

export interface MemoryStore extends LogStore {
  /** The next append fails so, once. 'unknown, but stored' does what was asked first. */
  failNext(how: 'no' | 'unknown' | 'unknown, but stored'): void
}

/** A log that lives in memory: for tests of what stands around a store. */
export function createMemoryStore(): MemoryStore {
  const kept: (Uint8Array | undefined)[] = []
  /** By level, its hashes one after the other. */
  const hashes: Buffer[][] = [[]]
  const gone = new AbortController()
  let head: TreeHead = { size: 0, root: emptyRoot() }
  let note: string | undefined
  let failing: 'no' | 'unknown' | 'unknown, but stored' | undefined

  function add(level: number, hash: Buffer): void {
    const own = (hashes[level] ??= [])
    own.push(hash)
    if (own.length % fullWidth === 0) add(level + 1, perfectRoot(Buffer.concat(own.slice(-fullWidth))))
  }

  return {
    head: () => Promise.resolve(head),
    append({ from, to, entries }: Batch) {
      if (from.size !== head.size || !Buffer.from(from.root).equals(head.root)) return Promise.reject(new HeadMovedError('another writer has appended to the log'))
      if (entries.length === 0 || to.size !== from.size + entries.length) return Promise.reject(new RangeError('a batch whose heads are not as far apart as it has entries'))
      const failure = failing
      failing = undefined
      if (failure === undefined || failure === 'unknown, but stored') {
        kept.push(...entries.map((entry) => Uint8Array.from(entry)))
        const leaves = leafHashes(entries)
        for (let at = 0; at < leaves.length; at += hashBytes) add(0, leaves.subarray(at, at + hashBytes))
        head = to
      }
      if (failure === undefined) return Promise.resolve()
      return Promise.reject(new StoreError('the store was told to fail', { stored: failure === 'no' ? 'no' : 'unknown' }))
    },
    async *entries(from, to) {
      if (from < 0 || to > head.size || from > to) throw new RangeError(`the log has ${head.size} entries, not ${from} to ${to}`)
      for (let index = from; index < to; index += 1) yield kept[index]
    },
    tile(level, index, width) {
      const available = widthAt(head.size, level, index)
      if (width < 1 || width > available) return Promise.resolve(undefined)
      return Promise.resolve(Buffer.concat((hashes[level] ?? []).slice(index * fullWidth, index * fullWidth + width)))
    },
    checkpoint: () => Promise.resolve(note),
    publish(previous, checkpoint) {
      if (previous !== note) return Promise.reject(new HeadMovedError('another checkpoint was published'))
      note = checkpoint
      return Promise.resolve()
    },
    prune(indexes) {
      for (const index of indexes) if (index < kept.length) kept[index] = undefined
      return Promise.resolve()
    },
    lost: gone.signal,
    close: () => Promise.resolve(),
    failNext(how) {
      failing = how
    },
  }
}
