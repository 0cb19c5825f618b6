import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { readIfThere } from '../store/folder/place-file.ts'
import { hashBytes } from '../tlog/merkle.ts'
import { fullWidth, tilePath } from '../tlog/tile-path.ts'
import { checkBundle, type GoodBundle } from './check-bundle.ts'

/** Full bundles `from` up to, not with, `to`. */
export interface Range {
  from: number
  to: number
}

export interface CheckedRange {
  from: number
  /** Undefined for each that has to be looked at more closely. */
  bundles: (GoodBundle | undefined)[]
  /** The tiles of level 0, one after the other; zeros where a bundle is undefined. */
  hashes: Uint8Array<ArrayBuffer>
}

if (parentPort !== null) serve(parentPort, workerData as { folder: string })

function serve(port: NonNullable<typeof parentPort>, { folder }: { folder: string }): void {
  port.on('message', (range: Range) => {
    const checked = check(folder, range)
    port.postMessage(checked, [checked.hashes.buffer])
  })
  port.postMessage('started')
}

function check(folder: string, { from, to }: Range): CheckedRange {
  const hashes = new Uint8Array((to - from) * fullWidth * hashBytes)
  const bundles = Array.from({ length: to - from }, (_, at) => {
    const place = { index: from + at, width: fullWidth }
    const tile = readIfThere(join(folder, tilePath({ level: 0, ...place })))
    const bundle = readIfThere(join(folder, tilePath({ level: 'entries', ...place })))
    const good = tile === undefined || bundle === undefined ? undefined : checkBundle(bundle, tile)
    if (tile !== undefined && good !== undefined) hashes.set(tile, at * fullWidth * hashBytes)
    return good
  })
  return { from, bundles, hashes }
}
