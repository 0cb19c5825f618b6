/** Which tokens of a vocabulary may not come, kept as the shorter list of those that may and those that may not. */
export interface Mask {
  readonly tokens: Int32Array
  /** Whether the tokens are those that may come. */
  readonly listsAllowed: boolean
  /** No token may come. */
  readonly empty: boolean
}

/** From an entry for each token: 1 for those that may not come. */
export function packMask(forbidden: Uint8Array): Mask {
  let count = 0
  for (const entry of forbidden) count += entry
  const listsAllowed = count > forbidden.length / 2
  const tokens = new Int32Array(listsAllowed ? forbidden.length - count : count)
  const listed = listsAllowed ? 0 : 1
  let length = 0
  for (let token = 0; token < forbidden.length; token++) if (forbidden[token] === listed) tokens[length++] = token
  return { tokens, listsAllowed, empty: count === forbidden.length }
}

export function unpackMask({ tokens, listsAllowed }: Mask, into: Uint8Array): void {
  into.fill(listsAllowed ? 1 : 0)
  const listed = listsAllowed ? 0 : 1
  for (const token of tokens) into[token] = listed
}

/** The masks of the states that were asked for last. */
export interface MaskCache<State> {
  get(state: State, make: () => Mask): Mask
  clear(): void
}

export function createMaskCache<State>(maxBytes: number): MaskCache<State> {
  const masks = new Map<State, Mask>()
  let bytes = 0
  return {
    get(state, make) {
      const known = masks.get(state)
      if (known !== undefined) {
        masks.delete(state)
        masks.set(state, known)
        return known
      }
      const made = make()
      masks.set(state, made)
      bytes += sizeOf(made)
      for (const [oldest, mask] of masks) {
        if (bytes <= maxBytes) break
        masks.delete(oldest)
        bytes -= sizeOf(mask)
      }
      return made
    },
    clear() {
      masks.clear()
      bytes = 0
    },
  }
}

function sizeOf(mask: Mask): number {
  // What a small one takes beside its tokens.
  return mask.tokens.byteLength + 256
}
