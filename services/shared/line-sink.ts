import { write, writeSync } from 'node:fs'

/** Where log lines go: gathered, written off the event loop's way, and dropped rather than waited for when nobody reads. */
export interface LineSink {
  write(line: string): void
  /** Writes what is gathered, at once. Gives up when it can't be written. */
  flush(): void
}

const gatherBytes = 4096
const gatherMs = 200
/** Lines beyond this are dropped: a reader that does not keep up must not cost memory without end. */
const maxPending = 4 * 1024 * 1024
const busyRetries = 50

/**
 * Gathered writes cost a third of single ones. It is not pino's own destination because that one, when flushed into a pipe whose
 * reader is gone, tries again for ever (sonic-boom 4): a service would then outlive its launcher.
 */
export function createLineSink(fd: number): LineSink {
  let pending = ''
  let writing = false
  let gone = false
  let timer: NodeJS.Timeout | undefined

  function later(): void {
    timer ??= setTimeout(start, gatherMs).unref()
  }

  function start(): void {
    clearTimeout(timer)
    timer = undefined
    if (writing || gone || pending === '') return
    writing = true
    send(take(), 0)
  }

  function take(): Buffer {
    const bytes = Buffer.from(pending)
    pending = ''
    return bytes
  }

  function send(bytes: Buffer, offset: number): void {
    write(fd, bytes, offset, (error, written) => {
      if (error !== null && error.code !== 'EAGAIN') {
        gone = true
        return
      }
      const next = offset + (error === null ? written : 0)
      if (next < bytes.length) {
        setTimeout(() => send(bytes, next), error === null ? 0 : 10)
        return
      }
      writing = false
      if (pending.length >= gatherBytes) start()
      else if (pending !== '') later()
    })
  }

  return {
    write(line) {
      if (gone || pending.length > maxPending) return
      pending += line
      if (pending.length >= gatherBytes) start()
      else later()
    },
    flush() {
      if (gone) return
      const bytes = take()
      let retries = 0
      for (let offset = 0; offset < bytes.length; ) {
        try {
          offset += writeSync(fd, bytes, offset)
        } catch (thrown) {
          const busy = thrown instanceof Error && 'code' in thrown && thrown.code === 'EAGAIN'
          retries += 1
          if (!busy || retries > busyRetries) return
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
        }
      }
    },
  }
}
