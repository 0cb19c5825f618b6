import { createHmac, randomBytes } from 'node:crypto'
import { ServiceError } from '../../../shared/errors.ts'
import type { Logger } from '../../../shared/log.ts'
import { createTokenSplitter } from './token-splitter.ts'
import type { DecodedToken, EmbeddingEngine, Engine, RemoteEnd, RemoteEngine, RemoteRequest, Sampling } from '../engine.ts'
import { EngineLoadError } from '../load-error.ts'
import type { PodAddress } from '../../../shared/config/pod-address.ts'
import { type Connected, connect } from './connect.ts'
import { createRemoteEmbed } from './embeddings.ts'
import { createHttpClient, type HttpClient } from './http-client.ts'
import { createMonitor, type Monitor } from './monitor.ts'
import type { ServerKindName } from './server-kind.ts'
import { UpstreamError } from './upstream-error.ts'
import { type EmbeddingVocabulary, type FileVocabulary, readVocabulary } from './vocabulary.ts'

export interface OpenaiEngineOptions {
  /** Catalogue id. */
  model: string
  /** The model's GGUF file, for its vocabulary. */
  path: string
  address: PodAddress
  kind: ServerKindName | 'auto'
  /** The model's name there; empty: the only one. */
  nameThere: string
  apiKey: string | undefined
  /** Requests that are sent to it at once; 0: as many as it works on at once, or 64 where it does not tell. */
  slots: number
  /** Bounds what the server takes; 0: just that. */
  contextLength: number
  /** How long it may take to load its model. */
  startMs: number
  /** From a request to its first token. */
  firstTokenMs: number
  /** From one token to the next. */
  nextTokenMs: number
  /** Between two looks at its health. */
  monitorMs?: number
}

const untoldSlots = 64

interface Parts {
  options: Omit<OpenaiEngineOptions, 'path'>
  http: HttpClient
  connected: Connected
  monitor: Monitor
  contextLength: number
  slots: number
}

/**
 * A server of the same pod in place of an engine of this process: it decodes, or embeds, as the model's file says. Waits for it. Throws
 * EngineLoadError, and UpstreamError when it does not answer in time.
 */
export async function createOpenaiEngine(options: OpenaiEngineOptions, log: Logger): Promise<Engine> {
  return await connectEngine(options, await readVocabulary(options.path), log)
}

/** The same, with the vocabulary at hand. */
export async function connectEngine(options: Omit<OpenaiEngineOptions, 'path'>, vocabulary: FileVocabulary, log: Logger): Promise<Engine> {
  const http = createHttpClient({ address: options.address, apiKey: options.apiKey })
  try {
    return await start(options, vocabulary, http, log)
  } catch (thrown) {
    http.close()
    throw thrown
  }
}

async function start(options: Omit<OpenaiEngineOptions, 'path'>, vocabulary: FileVocabulary, http: HttpClient, log: Logger): Promise<Engine> {
  const { vocabularySize, purpose } = vocabulary
  const known = purpose === 'generating' ? vocabulary : { texts: noTexts, endTokens: [] }
  const ends = new Set(known.endTokens)
  const isEndOfGeneration = (token: number): boolean => ends.has(token)
  const splitter = createTokenSplitter({ texts: known.texts, vocabularySize, isEndOfGeneration })
  const secret = randomBytes(32)
  const saltOf = (team: string): string => createHmac('sha256', secret).update(team).digest('base64url')
  const kindOptions = { texts: known.texts, splitter, vocabularySize, endTokens: known.endTokens, saltOf }
  const connected = await connect({ http, kind: options.kind, model: options.nameThere, kindOptions, generates: purpose === 'generating', startMs: options.startMs, log })
  const { kind, served, check } = connected
  const slots = options.slots === 0 ? (served.slots ?? untoldSlots) : options.slots
  if (served.slots !== undefined && slots > served.slots)
    throw new EngineLoadError('too_many_slots', `${kind.name} works on ${served.slots} requests at once; inferenceWorker.openai.slots is ${slots}.`)
  const contextLength = options.contextLength === 0 ? served.contextLength : Math.min(served.contextLength, options.contextLength)
  const monitor = createMonitor({ http, healthPath: kind.healthPath, gauges: kind.gauges, check, log, hangMs: options.nextTokenMs, ...(options.monitorMs === undefined ? {} : { intervalMs: options.monitorMs }) })
  const parts: Parts = { options, http, connected, monitor, contextLength, slots }
  log.info({ model: options.model, kind: purpose, server: kind.name, contextLength, slots }, 'engine connected')
  if (vocabulary.purpose === 'embedding') return embeddingEngine(parts, vocabulary)
  return {
    ...common(parts),
    kind: 'remote',
    vocabularySize,
    texts: vocabulary.texts,
    endTokens: vocabulary.endTokens,
    isEndOfGeneration,
    complete: (request, signal) => complete(parts, request, signal),
    held: (slot) => kind.held(slot),
    async check(slot, signal) {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(options.nextTokenMs)])
      const tokens = complete(parts, { slot, team: '', tokens: [0], answered: 0, maxTokens: 1, sampling: greedy, forbidden: undefined, topLogprobs: undefined }, limited)
      const { done } = await tokens.next()
      await tokens.return()
      if (done === true) throw new Error('the engine gave no token')
    },
  } satisfies RemoteEngine
}

const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, repeatPenalty: 1, penaltyWindow: 0, presencePenalty: 0, frequencyPenalty: 0, logitBias: new Map(), seed: 0 }
const noTexts = { text: () => new Uint8Array(0), spelling: () => new Uint8Array(0), addsSpace: false }

function common({ options: { model }, http, monitor, contextLength, slots }: Parts) {
  return {
    model,
    contextLength,
    slots,
    upstream: monitor,
    // Each request has time limits of its own: a server that hangs is no reason to end this process.
    stepMs: () => 0,
    async close() {
      monitor.close()
      http.close()
    },
  }
}

async function* complete({ options, http, connected, monitor }: Parts, request: RemoteRequest, signal: AbortSignal): AsyncGenerator<DecodedToken | RemoteEnd, void, undefined> {
  const { path, body, read } = connected.kind.complete(request, connected.served)
  try {
    yield* http.events({ method: 'POST', path, body, signal }, { firstMs: options.firstTokenMs, idleMs: options.nextTokenMs }, readWithErrors(read))
  } catch (thrown) {
    if (signal.aborted) return
    throw explained(thrown, monitor)
  }
}

/** Once it has begun to answer, a server tells of its errors in the stream; all of them in this shape. */
function readWithErrors<T>(read: (event: unknown) => readonly T[]): (event: unknown) => readonly T[] {
  return (event) => {
    if (typeof event === 'object' && event !== null && 'error' in event) throw new UpstreamError('failed', "The model's server failed in the middle of its answer.")
    return read(event)
  }
}

function explained(thrown: unknown, monitor: Monitor): unknown {
  if (!(thrown instanceof UpstreamError)) return thrown
  const { reason } = thrown
  if (reason === 'unreachable' || reason === 'broken_off') monitor.suspect()
  if (reason === 'busy') {
    return new ServiceError('UNAVAILABLE', 'engine_failed', "The model's server has no room at the moment. Try again soon.", { retryAfterMs: 1000, cause: thrown })
  }
  return thrown
}

function embeddingEngine(parts: Parts, vocabulary: EmbeddingVocabulary): EmbeddingEngine {
  const { http, monitor, options, connected } = parts
  const remote = createRemoteEmbed({ http, name: connected.served.name, vocabulary, limitMs: options.firstTokenMs })
  return {
    ...common(parts),
    kind: 'embedding',
    vocabularySize: vocabulary.vocabularySize,
    inputLength: remote.inputLength,
    async embed(tokens, signal) {
      try {
        return await remote.embed(tokens, signal)
      } catch (thrown) {
        signal.throwIfAborted()
        throw explained(thrown, monitor)
      }
    },
  }
}
