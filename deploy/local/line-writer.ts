import { write } from 'node:fs'

export interface LineWriter {
  /** Takes a line (without its end) or drops it when the reader is too far behind. */
  write(line: string): void
  /** Resolves when all that was taken is written, or after `limitMs`. */
  flush(limitMs: number): Promise<void>
}

/** Memory that unread lines may take, in characters. */
const maxBuffered = 4 * 1024 * 1024

/**
 * Writes lines to a file descriptor without ever blocking this thread: process.stderr is synchronous on pipes and
 * terminals, so a paused terminal (Ctrl-S) or a slow reader would stop the launcher itself. Lines that don't fit are
 * dropped and counted; `dropped(n)` makes the line that tells.
 */
export function createLineWriter(fd: number, dropped: (count: number) => string, limit: number = maxBuffered): LineWriter {
  let pending: string[] = []
  let buffered = 0
  let missing = 0
  let current: Buffer | undefined
  let closed = false
  let onIdle: (() => void)[] = []

  function next(): void {
    if (missing > 0) {
      pending.push(dropped(missing))
      missing = 0
    }
    if (pending.length === 0 || closed) {
      for (const resolve of onIdle) resolve()
      onIdle = []
      return
    }
    current = Buffer.from(`${pending.join('\n')}\n`)
    pending = []
    put(current)
  }

  function put(bytes: Buffer): void {
    write(fd, bytes, (error, written) => {
      // A descriptor that doesn't block is full for now.
      if (error?.code === 'EAGAIN') {
        setTimeout(() => put(bytes), 20)
        return
      }
      // The reader is gone (EPIPE), or its terminal (EIO): nobody is left to write to.
      if (error !== null) closed = true
      if (error === null && written < bytes.length) return put(bytes.subarray(written))
      current = undefined
      buffered = pending.reduce((sum, line) => sum + line.length, 0)
      next()
    })
  }

  return {
    write(line) {
      if (closed) return
      if (buffered + line.length > limit) {
        missing += 1
        return
      }
      buffered += line.length
      pending.push(line)
      if (current === undefined) next()
    },
    async flush(limitMs) {
      if (current === undefined) return
      const idle = Promise.withResolvers<void>()
      onIdle.push(idle.resolve)
      const timer = setTimeout(idle.resolve, limitMs)
      await idle.promise
      clearTimeout(timer)
    },
  }
}
