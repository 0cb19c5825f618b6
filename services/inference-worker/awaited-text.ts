/** Finds a text in bytes that come in pieces. */
export interface AwaitedText {
  /** What comes behind the text, when these bytes complete it. */
  find(bytes: Uint8Array): Uint8Array | undefined
}

export function createAwaitedText(text: string): AwaitedText {
  const wanted = Buffer.from(text)
  let tail = Buffer.alloc(0)
  return {
    find(bytes) {
      const whole = Buffer.concat([tail, bytes])
      const at = whole.indexOf(wanted)
      if (at >= 0) return whole.subarray(at + wanted.length)
      tail = whole.subarray(Math.max(0, whole.length - wanted.length + 1))
      return undefined
    },
  }
}

/** Finds the first of several. */
export function createAwaitedTexts(texts: readonly string[]): AwaitedText {
  const awaited = texts.map(createAwaitedText)
  return {
    find(bytes) {
      const rests = awaited.flatMap(({ find }) => find(bytes) ?? [])
      return rests.toSorted((a, b) => b.length - a.length)[0]
    },
  }
}
