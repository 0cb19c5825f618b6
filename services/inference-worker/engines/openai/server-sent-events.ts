import { UpstreamError } from './upstream-error.ts'

/** Server-sent events (WHATWG HTML) from bytes in any pieces; of an event only its data. */
export interface EventReader {
  /** The data of the events that these bytes complete. Throws UpstreamError too_large. */
  push(bytes: Uint8Array): string[]
}

const lineFeed = 0x0a

export function createEventReader(maxBytes: number): EventReader {
  let pieces: Uint8Array[] = []
  let lineBytes = 0
  let data: string[] = []
  let dataBytes = 0

  function endLine(): string | undefined {
    const line = Buffer.concat(pieces).toString().replace(/\r$/, '')
    pieces = []
    lineBytes = 0
    if (line === '') {
      const event = data.length === 0 ? undefined : data.join('\n')
      data = []
      dataBytes = 0
      return event
    }
    if (line.startsWith('data:')) {
      data.push(line.slice(line.startsWith('data: ') ? 6 : 5))
      dataBytes += line.length
    }
    return undefined
  }

  return {
    push(bytes) {
      const events: string[] = []
      let begin = 0
      while (begin < bytes.length) {
        const feed = bytes.indexOf(lineFeed, begin)
        const end = feed < 0 ? bytes.length : feed
        pieces.push(bytes.subarray(begin, end))
        lineBytes += end - begin
        if (lineBytes + dataBytes > maxBytes) throw new UpstreamError('too_large', "An event of the model's server is too large.")
        if (feed < 0) break
        const event = endLine()
        if (event !== undefined) events.push(event)
        begin = feed + 1
      }
      return events
    },
  }
}
