import { Worker } from 'node:worker_threads'
import { StoreError } from '../store.ts'
import { DatabaseUnusableError } from './database.ts'
import type { Operations, Role, ThreadAnswer, ThreadRequest } from './thread.ts'

/** Calls of a store's thread. Each has a limit, after which it fails as 'unknown', whatever becomes of it. */
export interface ThreadCalls<R extends Role> {
  call<O extends keyof Operations[R]>(operation: O, argument: ArgumentOf<Operations[R][O]>, transfer?: ArrayBuffer[]): Promise<ResultOf<Operations[R][O]>>
  /** Ends the thread once it has done what it was asked. */
  close(): Promise<void>
}

type ArgumentOf<F> = F extends (argument: infer A) => unknown ? A : never
type ResultOf<F> = F extends (argument: never) => infer V ? V : never

interface Pending {
  resolve(value: unknown): void
  reject(error: Error): void
  timer: NodeJS.Timeout
}

/** A thread starts within this, also where the log's last megabytes must be recovered, on a disk that is not hung. */
const startMs = 60_000

/** Resolves once the thread has its database open. Throws DatabaseUnusableError, StoreError. `onLost`: it has died. */
export async function startThread<R extends Role>(options: { role: R; folder: string; timeoutMs: number; onLost: (error: StoreError) => void }): Promise<ThreadCalls<R>> {
  const { role, folder, timeoutMs, onLost } = options
  const worker = new Worker(new URL('thread.ts', import.meta.url), { workerData: { folder, role }, name: `audit-${role}` })
  const pending = new Map<number, Pending>()
  let serial = 0
  let closing = false
  let dead: StoreError | undefined
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))

  function wait(id: number, limitMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        pending.delete(id)
        reject(new StoreError(`The disk of the log did not answer within ${limitMs} ms.`, { stored: 'unknown', trouble: 'slow' }))
      }, limitMs)
      pending.set(id, { resolve, reject, timer })
    })
  }

  function die(): void {
    if (closing && pending.size === 0) return
    dead = new StoreError(`The thread of the log's ${role} has ended.`, { stored: 'unknown' })
    for (const { reject, timer } of pending.values()) {
      clearTimeout(timer)
      reject(dead)
    }
    pending.clear()
    if (!closing) onLost(dead)
  }

  worker.on('message', ({ id, value, failed }: ThreadAnswer) => {
    const call = pending.get(id)
    if (call === undefined) return // its caller was told that it hangs
    pending.delete(id)
    clearTimeout(call.timer)
    if (failed === undefined) call.resolve(value)
    else if (failed.unusable) call.reject(new DatabaseUnusableError(failed.message))
    else call.reject(new StoreError(`The log could not be read or written: ${failed.message}`, failed))
  })
  worker.once('error', die)
  worker.once('exit', die)

  const started = wait(-1, Math.max(timeoutMs, startMs))
  try {
    await started
  } catch (thrown) {
    closing = true
    await worker.terminate()
    throw thrown
  }
  return {
    call(operation, argument, transfer = []) {
      if (dead !== undefined) return Promise.reject(dead)
      const id = serial++
      const answered = wait(id, timeoutMs)
      worker.postMessage({ id, operation: String(operation), argument } satisfies ThreadRequest, transfer)
      return answered as never
    },
    async close() {
      closing = true
      worker.postMessage('close', [])
      const timer = setTimeout(() => void worker.terminate(), timeoutMs)
      await ended
      clearTimeout(timer)
    },
  }
}
