import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { StartError } from '../../deploy/local/start-error.ts'
import type { Logger } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { type AuditReader, readerName } from './audit-reader.ts'

/** Reads a log's folder where no platform runs. Nothing is recorded, and that is said on `err`. Throws a StartError when no log is there. */
export async function openFolderReader(folder: string, { keyFile, err }: { keyFile: string; err: NodeJS.WritableStream }): Promise<AuditReader> {
  if (!existsSync(join(folder, 'log.sqlite'))) throw new StartError(`There is no audit log in ${folder}.`)
  err.write(`The log is read from ${folder}: this read is not recorded.\n`)
  const { openFolderReading } = await import('../audit/reading/read-folder.ts')
  const { handlers, close } = await openFolderReading(folder, { keyFile, log: silent })
  const over = new AbortController()
  const call: CallContext = { requestId: 'folder', peer: 'cli', signal: over.signal }
  const reader = readerName()
  return {
    query: (request) => handlers.query({ ...request, reader }, call),
    usage: (request) => handlers.usage({ ...request, reader }, call),
    export: (request) => handlers.export({ ...request, reader }, call),
    tail: (request) => handlers.tail({ ...request, follow: false, reader }, call),
    content: (request) => handlers.readContent({ ...request, reader }, call),
    checkpoint: () => handlers.readCheckpoint({ reader }, call),
    tile: (path) => handlers.readTile({ reader, path }, call),
    async close() {
      over.abort()
      await close()
    },
  }
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
