import type { TreeHead } from '../store/store.ts'
import { proveConsistency, type ReadTile, rootFromTiles } from '../tlog/proofs.ts'
import { verifyConsistency } from '../tlog/verify-proofs.ts'

/** A log as far as its tree goes. */
export interface LogTree {
  head: TreeHead
  readTile: ReadTile
}

/**
 * Whether a log still is one that goes on from a checkpoint that was saved somewhere. `behind`: it has fewer entries, so it was set back;
 * `other`: so many, or more, but not these. Throws MissingTileError and MalformedError when the log's own tiles can't tell.
 */
export async function compareTrees({ head, readTile }: LogTree, saved: TreeHead): Promise<'contained' | 'behind' | 'other'> {
  if (saved.size > head.size) return 'behind'
  const root = await rootFromTiles(saved.size, readTile)
  if (!root.equals(saved.root)) return 'other'
  const proof = await proveConsistency(saved.size, head.size, readTile)
  return verifyConsistency({ from: saved, to: head, proof }) ? 'contained' : 'other'
}
