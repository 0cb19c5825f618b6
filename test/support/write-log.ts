import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { TreeHead } from '../../services/audit/store/store.ts'
import { encodeBundle } from '../../services/audit/tlog/bundle.ts'
import { signCheckpoint } from '../../services/audit/tlog/checkpoint.ts'
import { type Edge, edgeRoot, edgeTile, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { leafHashes } from '../../services/audit/tlog/merkle.ts'
import type { NoteSigner } from '../../services/audit/tlog/note.ts'
import { checkpointPath, fullWidth, partialTiles, tilePath } from '../../services/audit/tlog/tile-path.ts'

/** Writes a log as tlog-tiles has it into a folder, from nothing but the pure core: tiles, bundles of entries, a signed checkpoint. */
export async function writeLog(folder: string, entries: Iterable<Uint8Array>, log: { origin: string; signer: NoteSigner }): Promise<TreeHead & { checkpoint: string }> {
  let edge: Edge = emptyEdge
  let group: Uint8Array[] = []
  const append = async (): Promise<void> => {
    const index = Math.floor(edge.size / fullWidth)
    const extended = extendEdge(edge, leafHashes(group))
    await put(tilePath({ level: 'entries', index, width: group.length }), encodeBundle(group))
    for (const { level, index, hashes } of extended.full) await put(tilePath({ level, index, width: fullWidth }), hashes)
    edge = extended.edge
    group = []
  }
  const put = async (path: string, bytes: Uint8Array | string): Promise<void> => {
    await mkdir(join(folder, dirname(path)), { recursive: true })
    await writeFile(join(folder, path), bytes)
  }

  for (const entry of entries) {
    group.push(entry)
    if (group.length === fullWidth) await append()
  }
  if (group.length > 0) await append()
  for (const place of partialTiles(edge.size)) await put(tilePath(place), edgeTile(edge, place.level) ?? Buffer.alloc(0))
  const head = { size: edge.size, root: edgeRoot(edge) }
  const checkpoint = signCheckpoint({ ...head, origin: log.origin }, [log.signer])
  await put(checkpointPath, checkpoint)
  return { ...head, checkpoint }
}
