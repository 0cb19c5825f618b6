import type { Vocabulary } from '../engine.ts'

/** Finds tokens that spell bytes. */
export interface TokenSplitter {
  /**
   * Tokens that together bring just these bytes, so many of them if that is given and there are such; each as long as can be. Undefined
   * when there are none.
   */
  split(bytes: Uint8Array, count?: number): number[] | undefined
}

/** Ways that are tried before it gives up; some dozens are enough for what a model writes. */
const maxWays = 20_000

/** Looks through the vocabulary when it is first asked. */
export function createTokenSplitter({ texts, vocabularySize, isEndOfGeneration }: Vocabulary): TokenSplitter {
  let index: { tokens: Map<string, number>; longest: number } | undefined

  function build(): { tokens: Map<string, number>; longest: number } {
    const tokens = new Map<string, number>()
    let longest = 0
    for (let token = 0; token < vocabularySize; token += 1) {
      const bytes = texts.text(token)
      if (bytes.length === 0 || isEndOfGeneration(token)) continue
      const key = keyOf(bytes)
      if (!tokens.has(key)) tokens.set(key, token)
      longest = Math.max(longest, bytes.length)
    }
    return { tokens, longest }
  }

  function search(text: string, count: number | undefined): number[] | undefined {
    const { tokens, longest } = (index ??= build())
    const path: number[] = []
    let ways = 0
    const from = (at: number): boolean => {
      if (at === text.length) return count === undefined || path.length === count
      if (path.length === count || (ways += 1) > maxWays) return false
      for (let end = Math.min(text.length, at + longest); end > at; end -= 1) {
        const token = tokens.get(text.slice(at, end))
        if (token === undefined) continue
        path.push(token)
        if (from(end)) return true
        path.pop()
      }
      return false
    }
    return from(0) ? path : undefined
  }

  return {
    split(bytes, count) {
      if (bytes.length === 0) return count === undefined || count === 0 ? [] : undefined
      // Longer texts are no parts of tokens; the bound is one of the stack.
      if (bytes.length > 4096) return undefined
      const text = keyOf(bytes)
      return (count === undefined ? undefined : search(text, count)) ?? search(text, undefined)
    },
  }
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
