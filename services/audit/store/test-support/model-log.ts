import { hash } from 'node:crypto'
import { edgeRoot, emptyEdge, extendEdge } from '../../tlog/edge.ts'
import { hashBytes, leafHashes, perfectRoot } from '../../tlog/merkle.ts'
import { fullWidth } from '../../tlog/tile-path.ts'
import type { Batch, LogStore, TreeHead } from '../store.ts'

/** What a log should hold, in memory: what the stores are held against. It appends to a store as the sequencer does. */
export class ModelLog {
  readonly entries: (Uint8Array | undefined)[] = []
  checkpoint: string | undefined = undefined
  /** By level, the hashes of its tiles one after the other. */
  #levels: Buffer[] = []
  #edge = emptyEdge

  get head(): TreeHead {
    return { size: this.#edge.size, root: edgeRoot(this.#edge) }
  }

  /** The batch that would append these here. */
  batch(entries: readonly Uint8Array[]): Batch {
    const { edge, full } = extendEdge(this.#edge, leafHashes(entries))
    return { from: this.head, to: { size: edge.size, root: edgeRoot(edge) }, entries, tiles: full }
  }

  /** Takes over what a store has confirmed. */
  accept(entries: readonly Uint8Array[]): void {
    const hashes = leafHashes(entries)
    this.#edge = extendEdge(this.#edge, hashes).edge
    for (const entry of entries) this.entries.push(entry)
    this.#levels = [Buffer.concat([this.#levels[0] ?? Buffer.alloc(0), hashes]), ...this.#levels.slice(1)]
    const tileBytes = fullWidth * hashBytes
    for (let level = 0; ; level++) {
      const below = this.#levels[level] ?? Buffer.alloc(0)
      const known = (this.#levels[level + 1]?.length ?? 0) / hashBytes
      const tiles = Math.floor(below.length / tileBytes)
      if (tiles === known) break
      const roots = Array.from({ length: tiles - known }, (_, at) => perfectRoot(below.subarray((known + at) * tileBytes, (known + at + 1) * tileBytes)))
      this.#levels[level + 1] = Buffer.concat([this.#levels[level + 1] ?? Buffer.alloc(0), ...roots])
    }
  }

  async append(store: LogStore, entries: readonly Uint8Array[]): Promise<void> {
    await store.append(this.batch(entries))
    this.accept(entries)
  }

  async publish(store: LogStore, checkpoint: string): Promise<void> {
    await store.publish(this.checkpoint, checkpoint)
    this.checkpoint = checkpoint
  }

  async prune(store: LogStore, indexes: readonly number[]): Promise<void> {
    await store.prune(indexes)
    for (const index of indexes) this.entries[index] = undefined
  }

  /** Undefined where there are not so many hashes. */
  tile(level: number, index: number, width: number): Buffer | undefined {
    const start = index * fullWidth * hashBytes
    const tile = this.#levels[level]?.subarray(start, start + width * hashBytes)
    return tile === undefined || tile.length < width * hashBytes ? undefined : tile
  }
}

/** Entries of all kinds of bytes, the same for the same seed. `length` is that of one of them. */
export function someEntries(count: number, seed: string, length: (at: number) => number = (at) => 1 + ((at * 37) % 700)): Uint8Array[] {
  return Array.from({ length: count }, (_, at) => {
    const block = hash('sha512', `${seed} ${at}`, 'buffer')
    const entry = Buffer.alloc(length(at))
    for (let start = 0; start < entry.length; start += block.length) block.copy(entry, start)
    return entry
  })
}
