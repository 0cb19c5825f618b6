import { parentPort, workerData } from 'node:worker_threads'
import { type IndexOperations, openIndexDatabase } from './index-database.ts'

/** The index's own thread: SQLite is synchronous, and must not hold up records and their answers. */
export interface ThreadRequest {
  id: number
  operation: keyof IndexOperations
  argument: unknown
}

/** A failure ends the thread: what it held in memory may not be what is stored. */
export interface ThreadAnswer {
  id: number
  value: unknown
}

if (parentPort !== null) serve(parentPort, workerData as { file: string })

function serve(port: NonNullable<typeof parentPort>, { file }: { file: string }): void {
  const index = openIndexDatabase(file)
  port.on('message', (request: ThreadRequest | 'close') => {
    if (request === 'close') {
      index.close()
      port.close()
      return
    }
    const operation = index[request.operation] as (argument: unknown) => unknown
    port.postMessage({ id: request.id, value: operation(request.argument) } satisfies ThreadAnswer)
  })
}
