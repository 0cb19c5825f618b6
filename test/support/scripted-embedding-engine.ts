import { setImmediate as turnOfTheLoop, setTimeout as after } from 'node:timers/promises'
import type { EmbeddingEngine } from '../../services/inference-worker/engines/engine.ts'

/** How a scripted embedding engine behaves. */
export interface EmbeddingScript {
  model?: string
  slots?: number
  contextLength?: number
  /** Length of the vectors. Default: 8. */
  dimensions?: number
  /** Milliseconds for each input. */
  delayMs?: number
  /** Throws at an input that has this token. */
  failAt?: number
  /** Never answers an input that has this token. */
  hangAt?: number
}

/** Prompts come from the vocabulary of any real model. */
const vocabularySize = 1_000_000

/** Stands for an embedding model: the more tokens two inputs share, the nearer their vectors. */
export function createScriptedEmbeddingEngine(script: EmbeddingScript = {}): EmbeddingEngine {
  const { model = 'scripted', slots = 4, contextLength = 4096, dimensions = 8, delayMs = 0 } = script
  const closing = Promise.withResolvers<void>()
  let hungSince: number | undefined
  return {
    kind: 'embedding',
    model,
    slots,
    contextLength,
    vocabularySize,
    inputLength: (tokens) => tokens.length,
    async embed(tokens, signal) {
      signal.throwIfAborted()
      await (delayMs > 0 ? after(delayMs) : turnOfTheLoop())
      if (script.failAt !== undefined && tokens.includes(script.failAt)) throw new Error('scripted failure')
      if (script.hangAt !== undefined && tokens.includes(script.hangAt)) {
        hungSince ??= performance.now()
        await closing.promise
      }
      const directions = tokens.map((token) => direction(token, dimensions))
      return Array.from({ length: dimensions }, (_, place) => directions.reduce((sum, vector) => sum + (vector[place] ?? 0), 0))
    },
    stepMs: () => (hungSince === undefined ? 0 : performance.now() - hungSince),
    async close() {
      closing.resolve()
    },
  }
}

/** Any, but always the same for the token (the finaliser of MurmurHash3). */
function direction(token: number, dimensions: number): number[] {
  return Array.from({ length: dimensions }, (_, place) => {
    let hash = Math.imul(token + 1, 0x9e3779b1) ^ place
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 31 - 1
  })
}
