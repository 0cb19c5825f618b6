import { setImmediate as turnOfTheLoop, setTimeout as after } from 'node:timers/promises'
import type { DecodedToken, GeneratingEngine } from '../../services/inference-worker/engines/engine.ts'

/** How a scripted engine behaves. Counts are of tokens of one request. */
export interface Script {
  model?: string
  slots?: number
  spareSlots?: number
  contextLength?: number
  /** Length of an answer, its end-of-generation token not counted. Default: 8. */
  tokens?: number
  /** Milliseconds for each decode step; 0 (default): as fast as possible, still all running requests together, one token each. */
  delayMs?: number
  /** Throws instead of the token after so many. */
  failAfter?: number
  /** Decodes no more after so many, and does not heed a cancel. */
  hangAfter?: number
  /** The process kills itself instead of the token after so many. */
  dieAfter?: number
  /** The whole answer, as text, a token for each of its bytes. Default: words that depend on the prompt and their place. */
  text?: string
  /** The whole answer, as tokens. */
  answer?(prompt: readonly number[]): readonly number[]
}

/** Answer tokens: below this, bytes; from it on, words. */
const firstWord = 256
const words = 4096
export const endOfGeneration = firstWord + words
/** Prompts come from the vocabulary of any real model. */
const vocabularySize = 1_000_000

/** Stands for a model: deterministic, the same interface, and it notices when a slot is used twice at a time. */
export function createScriptedEngine(script: Script = {}): GeneratingEngine {
  const { model = 'scripted', slots = 4, spareSlots = 0, contextLength = 4096, delayMs = 0 } = script
  const inUse = new Set<number>()
  /** Tokens that each slot holds evaluated. */
  const held = new Map<number, readonly number[]>()
  const closing = Promise.withResolvers<void>()
  let closed = false
  let hungSince: number | undefined
  let step: Promise<void> | undefined

  function nextStep(): Promise<void> {
    step ??= (delayMs > 0 ? after(delayMs) : turnOfTheLoop()).then(() => (step = undefined))
    return step
  }

  async function beforeToken(count: number): Promise<void> {
    await nextStep()
    if (count === script.failAfter) throw new Error('scripted failure')
    if (count === script.dieAfter) process.kill(process.pid, 'SIGKILL')
    if (count !== script.hangAfter) return
    hungSince ??= performance.now()
    await closing.promise
  }

  const text = (token: number): Uint8Array =>
    token < firstWord ? Uint8Array.of(token) : token < endOfGeneration ? Buffer.from(wordOf(token)) : new Uint8Array(0)

  return {
    kind: 'generating',
    model,
    slots,
    spareSlots,
    contextLength,
    vocabularySize,
    texts: { text, spelling: (token) => (token === endOfGeneration ? Buffer.from('<|end|>') : text(token)), addsSpace: false },
    async *decode({ slot, tokens, keep, sampling: { seed, temperature }, guide, topLogprobs }, signal) {
      if (slot < 0 || slot >= slots + spareSlots || inUse.has(slot)) throw new Error(`slot ${slot} is not free`)
      const kept = held.get(slot)?.slice(0, keep) ?? []
      if (kept.length < keep || keep >= tokens.length || kept.some((token, index) => token !== tokens[index])) throw new Error(`slot ${slot} does not hold that`)
      inUse.add(slot)
      const evaluated = [...kept]
      held.set(slot, evaluated)
      try {
        const salt = temperature === 0 ? 0 : seed
        const answer = script.answer?.(tokens) ?? (script.text === undefined ? undefined : byteTokens(script.text)) ?? wordsFor(tokens, script.tokens ?? 8, salt)
        for (let count = 0; ; count += 1) {
          await beforeToken(count)
          if (signal.aborted || closed) return
          if (count === 0) evaluated.push(...tokens.slice(keep))
          const token = guide?.forced() ?? answer[count] ?? endOfGeneration
          yield withLogprobs(token, topLogprobs)
          evaluated.push(token)
        }
      } finally {
        inUse.delete(slot)
      }
    },
    held: (slot) => held.get(slot)?.length ?? 0,
    keepable: (slot, count) => Math.min(count, held.get(slot)?.length ?? 0),
    check: () => beforeToken(0),
    isEndOfGeneration: (token) => token === endOfGeneration,
    stepMs: () => (hungSince === undefined ? 0 : performance.now() - hungSince),
    async close() {
      closed = true
      closing.resolve()
    },
  }
}

/** Tokens of one byte each, for answers of a given text: they split every character that is not ASCII. */
export function byteTokens(text: string): number[] {
  return [...Buffer.from(text)]
}

/** The scripted token is as good as certain; the others that are told halve from one to the next. */
function withLogprobs(token: number, top: number | undefined): DecodedToken {
  if (top === undefined) return { token, logprobs: undefined }
  const others = Array.from({ length: top }, (_, index) => ({ token: (token + index) % endOfGeneration, logprob: -(index + 1) * Math.LN2 }))
  return { token, logprobs: { logprob: -Math.LN2, top: others } }
}

function wordOf(token: number): string {
  return ` w${(token - firstWord).toString(36)}`
}

function wordsFor(prompt: readonly number[], count: number, salt: number): number[] {
  // FNV-1a over the prompt, then a linear congruence (Numerical Recipes).
  let state = prompt.reduce((hash, token) => Math.imul(hash ^ token, 0x01000193) >>> 0, (0x811c9dc5 ^ salt) >>> 0)
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return firstWord + ((state >>> 16) % words)
  })
}
