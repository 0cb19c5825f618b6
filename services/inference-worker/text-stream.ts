/** Bytes in any pieces to text in whole characters. */
export interface TextStream {
  /** The characters that these bytes complete. */
  push(bytes: Uint8Array): string
  /** What is left at the end: U+FFFD for a character that was never completed, else nothing. */
  end(): string
}

/** UTF-8, incrementally (WHATWG Encoding): a character's bytes are held back until it is complete, broken bytes become U+FFFD. */
export function createTextStream(): TextStream {
  // A byte order mark is a character of the answer like any other.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return {
    push: (bytes) => decoder.decode(bytes, { stream: true }),
    end: () => decoder.decode(),
  }
}
