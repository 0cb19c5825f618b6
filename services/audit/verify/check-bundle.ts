import { glanceAt } from '../records/record.ts'
import { decodeBundle } from '../tlog/bundle.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { leafHashes } from '../tlog/merkle.ts'

/** What 256 good records say. */
export interface GoodBundle {
  /** Of the records, without what tlog-tiles puts around them. */
  bytes: number
  interrupted: number
  /** Requests that end here, whether they are open before or not: behind the bundle they are not, unless they begin here again. */
  ended: string[]
  /** Requests that begin here, and don't end here afterwards. */
  begun: string[]
}

/**
 * Looks at a full bundle with the hashes of its tile. Undefined unless it has all its entries, each is a record other than a log.pruned, and
 * their hashes are those of the tile: what is wrong, if anything, others find out.
 */
export function checkBundle(bundle: Uint8Array, tile: Uint8Array): GoodBundle | undefined {
  const entries = decode(bundle)
  if (entries === undefined || Buffer.compare(leafHashes(entries), tile) !== 0) return undefined
  const begun = new Set<string>()
  const good: GoodBundle = { bytes: 0, interrupted: 0, begun: [], ended: [] }
  for (const entry of entries) {
    const record = glanceAt(entry)
    // What was dropped is reckoned up in the order of the log.
    if (record === undefined || record.type === 'log.pruned') return undefined
    good.bytes += entry.length
    if (record.requestId === undefined) continue
    if (record.type === 'request.begin') begun.add(record.requestId)
    if (record.type !== 'request.end') continue
    begun.delete(record.requestId)
    good.ended.push(record.requestId)
    if (record.outcome === 'interrupted') good.interrupted += 1
  }
  good.begun = [...begun]
  return good
}

function decode(bundle: Uint8Array): Uint8Array[] | undefined {
  try {
    const entries = decodeBundle(bundle)
    return entries.every((entry) => entry !== undefined) ? entries : undefined
  } catch (thrown) {
    if (thrown instanceof MalformedError) return undefined
    throw thrown
  }
}
