import type { DatabaseSync } from 'node:sqlite'
import { blockSize, clearPosition, decodePosting, emptyPosting, encodePosting, setPosition } from './posting.ts'

/** Changes postings in memory until `flush` writes them down. */
export interface PostingWriter {
  set(term: number, n: number): void
  clear(term: number, n: number): void
  /** Within the transaction of what they tell of. */
  flush(): void
}

interface Held {
  bits: Uint8Array
  changed: boolean
}

/** Half a kilobyte each. Those of the block that fills are wanted again with each request. */
const mostHeld = 16_384

export function createPostingWriter(database: DatabaseSync): PostingWriter {
  const select = database.prepare('SELECT bits FROM postings WHERE term = ? AND block = ?')
  const upsert = database.prepare('INSERT INTO postings (term, block, bits) VALUES (?, ?, ?) ON CONFLICT (block, term) DO UPDATE SET bits = excluded.bits')
  const remove = database.prepare('DELETE FROM postings WHERE term = ? AND block = ?')
  /** By block, then by term. */
  const blocks = new Map<number, Map<number, Held>>()
  let held = 0

  function posting(term: number, n: number): Held {
    const block = Math.floor(n / blockSize)
    let terms = blocks.get(block)
    if (terms === undefined) blocks.set(block, (terms = new Map()))
    let found = terms.get(term)
    if (found === undefined) {
      const stored = select.get(term, block)?.['bits']
      found = { bits: stored instanceof Uint8Array ? decodePosting(stored).slice() : emptyPosting(), changed: false }
      terms.set(term, found)
      held += 1
    }
    found.changed = true
    return found
  }

  return {
    set: (term, n) => setPosition(posting(term, n).bits, n % blockSize),
    clear: (term, n) => clearPosition(posting(term, n).bits, n % blockSize),
    flush() {
      const newest = Math.max(...blocks.keys())
      for (const [block, terms] of blocks) {
        for (const [term, one] of terms) {
          if (!one.changed) continue
          const stored = encodePosting(one.bits)
          if (stored === undefined) remove.run(term, block)
          else upsert.run(term, block, stored)
          one.changed = false
        }
        if (block < newest) {
          held -= terms.size
          blocks.delete(block)
        }
      }
      if (held <= mostHeld) return
      blocks.clear()
      held = 0
    },
  }
}
