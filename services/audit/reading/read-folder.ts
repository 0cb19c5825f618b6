import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '../../shared/log.ts'
import { openLogIndex } from '../index/log-index.ts'
import { createArchive } from '../store/folder/archive.ts'
import { headReader, openForReading } from '../store/folder/database.ts'
import { decodeBundle } from '../tlog/bundle.ts'
import { fullWidth } from '../tlog/tile-path.ts'
import type { ReadableStore } from './read-store.ts'
import { type AuditReadOptions, createAuditRead } from './service.ts'

export interface FolderReading {
  handlers: ReturnType<typeof createAuditRead>
  close(): Promise<void>
}

/**
 * Reads a log's folder, or a copy, with an index of its own that is made in the folder of temporary files and removed with `close`. Nothing
 * of the log's folder is changed, so the reads are not recorded. `keyFile` holds the key that its checkpoints are verified with; it may be
 * missing. Throws the errors of SQLite and the file system when there is no log there.
 */
export async function openFolderReading(folder: string, { keyFile, log }: { keyFile: string; log: Logger }): Promise<FolderReading> {
  const { store, close: closeStore } = openStoreForReading(folder)
  const { size } = await store.head()
  const vkey = await readFile(keyFile, 'utf8').catch(() => '')
  const temporary = await mkdtemp(join(tmpdir(), 'intramuros-audit-'))
  const index = openLogIndex({ file: join(temporary, 'index.db'), store, log })
  const close = async (): Promise<void> => {
    await index.close()
    closeStore()
    await rm(temporary, { recursive: true, force: true })
  }
  try {
    await index.reached(size, new AbortController().signal)
  } catch (thrown) {
    await close()
    throw thrown
  }
  const options: AuditReadOptions = { store, index, content: undefined, vkey: vkey.trim(), reads: { record: () => Promise.resolve(), recordContent: () => Promise.resolve() }, log, clock: Date.now, draining: new AbortController().signal }
  return { handlers: createAuditRead(options), close }
}

function openStoreForReading(folder: string): { store: ReadableStore; close: () => void } {
  const database = openForReading(folder)
  const readHead = headReader(database)
  const archive = createArchive(folder, database)
  return {
    store: {
      head() {
        const { size, root } = readHead()
        return Promise.resolve({ size, root })
      },
      async *entries(from, to) {
        for (let index = Math.floor(from / fullWidth); index * fullWidth < to; index += 1) {
          const { bytes, width } = archive.bundle(index)
          if (bytes === undefined) throw new Error(`The file of entries ${index * fullWidth} to ${index * fullWidth + width - 1} is missing.`)
          yield* decodeBundle(bytes, width).slice(Math.max(0, from - index * fullWidth), to - index * fullWidth)
        }
      },
      tile: (level, index, width) => Promise.resolve(archive.tile({ level, index, width })),
      checkpoint: () => Promise.resolve(archive.checkpoint()),
    },
    close: () => database.close(),
  }
}
