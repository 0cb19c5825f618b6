import type { LaneFrame, LaneItem } from '../../../proto/gen/intramuros/v1/lane.ts'

/** A frame is sent once its items hold this many bytes, without waiting for the end of the event-loop turn. */
const frameBytes = 256 * 1024

/** After so long without a frame, milliseconds, an item is sent at once: there is nothing it would be gathered with. */
const quietMs = 1

interface FrameStream {
  write(frame: LaneFrame): boolean
  once(event: 'drain', listener: () => void): unknown
}

export interface FrameWriter {
  /** Queues an item for the next frame. `size` is that of its payload in bytes. */
  push(item: LaneItem, size: number): void
  /** True while the peer does not keep up: stop producing until `drained()` resolves. */
  readonly congested: boolean
  drained(): Promise<void>
  /** Drops what is queued and ignores further items: the stream is gone. */
  close(): void
}

/**
 * Gathers the items of one event-loop turn into one gRPC message: most of a message's cost does not depend on its size. On a quiet lane
 * an item does not wait for the end of the turn.
 * Honours `write()` returning false.
 */
export function createFrameWriter(stream: FrameStream): FrameWriter {
  let items: LaneItem[] = []
  let bytes = 0
  let scheduled = false
  let lastSent = 0
  let congested = false
  let closed = false
  let waiting: (() => void)[] = []

  function send(): void {
    if (closed || congested || items.length === 0) return
    lastSent = performance.now()
    const frame = { items }
    items = []
    bytes = 0
    if (!stream.write(frame)) {
      congested = true
      stream.once('drain', () => {
        congested = false
        release()
        send()
      })
    }
  }

  function release(): void {
    const released = waiting
    waiting = []
    for (const resume of released) resume()
  }

  function flushTurn(): void {
    scheduled = false
    send()
  }

  return {
    push(item, size) {
      if (closed) return
      items.push(item)
      bytes += size
      if (bytes >= frameBytes) send()
      else if (!scheduled) {
        scheduled = true
        if (performance.now() - lastSent > quietMs) queueMicrotask(flushTurn)
        else setImmediate(flushTurn)
      }
    },
    get congested() {
      return congested
    },
    drained: () => (congested && !closed ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve()),
    close() {
      closed = true
      items = []
      release()
    },
  }
}
