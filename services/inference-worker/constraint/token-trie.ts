/** All tokens of a vocabulary by their bytes: a trie in the order of a walk through it, each node an entry of some arrays. */
export interface TokenTrie {
  readonly vocabularySize: number
  readonly longestToken: number
  readonly nodes: {
    readonly count: number
    readonly byte: Uint8Array
    /** From 1. */
    readonly depth: Uint16Array
    /** The node after all that begin with this one. */
    readonly skip: Int32Array
    /** Where in `tokens` those of this node begin; they end where the next node's begin. */
    readonly firstToken: Int32Array
  }
  /** In the order of their bytes. */
  readonly tokens: Int32Array
  /** Those without bytes. */
  readonly silent: readonly number[]
  bytes(token: number): Uint8Array
}

/** A token's text may be a part of a character, and is empty if the token is not to be seen. */
export function createTokenTrie(texts: (token: number) => Uint8Array, vocabularySize: number): TokenTrie {
  const spellings = Array.from({ length: vocabularySize }, (_, token) => texts(token))
  const silent: number[] = []
  const spelt: number[] = []
  for (const [token, { length }] of spellings.entries()) (length === 0 ? silent : spelt).push(token)
  const spelling = (token: number) => spellings[token] ?? noBytes
  spelt.sort((a, b) => Buffer.compare(spelling(a), spelling(b)))

  const most = spelt.reduce((sum, token) => sum + spelling(token).length, 0)
  const byte = new Uint8Array(most)
  const depth = new Uint16Array(most)
  const skip = new Int32Array(most)
  const firstToken = new Int32Array(most + 1)
  let count = 0
  let longestToken = 0
  let previous: Uint8Array = noBytes
  // The nodes from the root to the last one.
  const path: number[] = []
  for (const [index, token] of spelt.entries()) {
    const bytes = spelling(token)
    longestToken = Math.max(longestToken, bytes.length)
    const shared = commonPrefix(previous, bytes)
    while (path.length > shared) skip[path.pop() ?? 0] = count
    for (let position = shared; position < bytes.length; position++) {
      byte[count] = bytes[position] ?? 0
      depth[count] = position + 1
      // Those on the way have no token of their own: theirs would begin where the last node's do.
      firstToken[count] = index
      path.push(count)
      count++
    }
    previous = bytes
  }
  while (path.length > 0) skip[path.pop() ?? 0] = count
  firstToken[count] = spelt.length
  return {
    vocabularySize,
    longestToken,
    nodes: {
      count,
      byte: byte.slice(0, count),
      depth: depth.slice(0, count),
      skip: skip.slice(0, count),
      firstToken: firstToken.slice(0, count + 1),
    },
    tokens: Int32Array.from(spelt),
    silent,
    bytes: spelling,
  }
}

const noBytes: Uint8Array = new Uint8Array()

function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}
