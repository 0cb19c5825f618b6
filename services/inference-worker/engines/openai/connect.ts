import { setTimeout as after } from 'node:timers/promises'
import type { Logger } from '../../../shared/log.ts'
import { EngineLoadError } from '../load-error.ts'
import type { HttpClient } from './http-client.ts'
import { createLlamaServerKind } from './llama-server.ts'
import { listModels } from './model-list.ts'
import { IsolationError, type KindOptions, sampleTokens, type ServedModel, type ServerKind, type ServerKindName } from './server-kind.ts'
import { createSglangKind } from './sglang.ts'
import { UpstreamError } from './upstream-error.ts'
import { createVllmKind } from './vllm.ts'

export interface ConnectOptions {
  http: HttpClient
  /** Which kind it is; `auto`: as it says. */
  kind: ServerKindName | 'auto'
  /** The model's name there; empty: the only one. */
  model: string
  kindOptions: KindOptions
  /** False: it embeds. */
  generates: boolean
  /** How long it may take to load its model. */
  startMs: number
  log: Logger
}

export interface Connected {
  kind: ServerKind
  served: ServedModel
  /** Finds all of it as it was, or throws with words for the log. */
  check(signal: AbortSignal): Promise<void>
}

const betweenMs = 500

/**
 * Waits until the server answers, and looks whether it serves this model and keeps teams apart. Throws EngineLoadError for what waiting does
 * not mend; UpstreamError when it does not answer in time.
 */
export async function connect(options: ConnectOptions): Promise<Connected> {
  const { http, log, startMs, generates } = options
  const signal = AbortSignal.timeout(startMs)
  let isWaiting = false
  for (;;) {
    try {
      const kind = await findKind(options, signal)
      const served = await kind.describe(http, options.model, signal)
      await examine(options, kind, served, signal)
      return {
        kind,
        served,
        async check(signal) {
          const now = await kind.describe(http, options.model, signal)
          if (now.name !== served.name || now.contextLength !== served.contextLength || now.slots !== served.slots) {
            throw mismatch("The model's server serves another model than before, or with another context or other slots. Restart the worker.")
          }
          await examine(options, kind, now, signal)
        },
      }
    } catch (thrown) {
      if (thrown instanceof IsolationError) throw new EngineLoadError('server_unsafe', thrown.message)
      if (!(thrown instanceof UpstreamError)) throw thrown
      if (!mendsItself(thrown)) throw new EngineLoadError('server_mismatch', adviceOf(thrown), thrown)
      if (signal.aborted) throw thrown
      if (!isWaiting) log.info({ reason: thrown.reason, startMs, generates }, "waiting for the model's server")
      isWaiting = true
    }
    await after(betweenMs)
  }
}

async function findKind({ http, kind, kindOptions }: ConnectOptions, signal: AbortSignal): Promise<ServerKind> {
  const create = { vllm: createVllmKind, sglang: createSglangKind, 'llama-server': createLlamaServerKind }
  if (kind !== 'auto') return create[kind](kindOptions)
  const owner = (await listModels(http, signal))[0]?.owned_by
  const found = owner === 'llamacpp' ? 'llama-server' : owner === 'vllm' || owner === 'sglang' ? owner : undefined
  if (found !== undefined) return create[found](kindOptions)
  throw mismatch(
    'The server at inferenceWorker.openai.url is none of vLLM, SGLang and llama-server. Others (Text Generation Inference, for one) take no prompt as tokens, ' +
      'so that a text could become a control token there, or keep no team apart from another; they are not supported.',
  )
}

async function examine(options: ConnectOptions, kind: ServerKind, served: ServedModel, signal: AbortSignal): Promise<void> {
  const { http, generates, kindOptions, log } = options
  if (served.vocabularySize !== undefined && served.vocabularySize !== kindOptions.vocabularySize) {
    throw mismatch(`The model's server serves a model of ${served.vocabularySize} tokens; the vocabulary of the model in the catalogue has ${kindOptions.vocabularySize}.`)
  }
  if (!generates) return
  await compareTexts(options, kind, served, signal)
  const { reuse, why } = await kind.isolate(http, served, signal)
  if (why !== undefined) log.warn({ reuse, why }, reuse ? 'the isolation of teams was not tried out' : 'no prompt is reused')
}

async function compareTexts({ http, kindOptions, log }: ConnectOptions, kind: ServerKind, served: ServedModel, signal: AbortSignal): Promise<void> {
  try {
    for (const token of sampleTokens(kindOptions, 16, 3)) {
      const there = await kind.detokenise(http, served, token, signal)
      // Alone, a token may lose the space that it begins with.
      if (there.trim() !== Buffer.from(kindOptions.texts.text(token)).toString().trim())
        throw mismatch(`Token ${token} is another text for the model's server than for the model in the catalogue: they are not the same model.`)
    }
  } catch (thrown) {
    if (!(thrown instanceof UpstreamError && thrown.reason === 'not_found')) throw thrown
    log.warn({ server: kind.name }, "the server tells no token's text: that it serves the same model was not seen")
  }
}

function mendsItself({ reason }: UpstreamError): boolean {
  return reason === 'unreachable' || reason === 'timeout' || reason === 'busy' || reason === 'broken_off' || reason === 'failed'
}

function adviceOf({ reason, message }: UpstreamError): string {
  if (reason === 'unauthorised') return "The model's server does not take the key of inferenceWorker.openai.apiKeyFile, or wants one."
  return message
}

function mismatch(message: string): EngineLoadError {
  return new EngineLoadError('server_mismatch', message)
}
