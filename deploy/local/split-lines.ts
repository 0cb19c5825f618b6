export interface LineSplitter {
  push(chunk: Buffer): void
  /** Hands over what stands after the last line end. */
  end(): void
}

/**
 * Cuts a byte stream into lines (UTF-8, without their ends). Of a line longer than `maxBytes` only the length is
 * told, so that a stream without line ends takes no more memory than that.
 */
export function splitLines(
  onLine: (line: string) => void,
  onLongLine: (bytes: number) => void,
  maxBytes = 64 * 1024,
): LineSplitter {
  let parts: Buffer[] = []
  let length = 0

  function add(part: Buffer): void {
    length += part.length
    if (length <= maxBytes) parts.push(part)
    else parts = []
  }

  function finish(): void {
    if (length > maxBytes) onLongLine(length)
    else if (length > 0) onLine(Buffer.concat(parts, length).toString('utf8'))
    parts = []
    length = 0
  }

  return {
    push(chunk) {
      let from = 0
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
        add(chunk.subarray(from, end))
        finish()
        from = end + 1
      }
      if (from < chunk.length) add(chunk.subarray(from))
    },
    end: finish,
  }
}
