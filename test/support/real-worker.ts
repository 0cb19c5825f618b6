import { getLlama, LlamaLogLevel, type LlamaModel } from 'node-llama-cpp'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { vi } from 'vitest'
import type { FinishReason, GenerateEvent, TokenLogprob } from '../../proto/gen/intramuros/v1/inference.ts'
import type { DecodeRequest, GeneratingEngine, Sampling } from '../../services/inference-worker/engines/engine.ts'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import type { LlamaEngineOptions } from '../../services/inference-worker/engines/llama-options.ts'
import { createMetrics } from '../../services/inference-worker/metrics.ts'
import { createInferenceService, type InferenceOptions, type InferenceService } from '../../services/inference-worker/service.ts'
import { generateRequest, greedy } from './generate-request.ts'

export type Request = Parameters<typeof generateRequest>[0]

export interface Answer {
  text: string
  tokens: number[]
  logprobs: TokenLogprob[]
  reason: FinishReason | undefined
  stopSequence: string | undefined
  outputTokens: number
  reasoningTokens: number
  cachedTokens: number
}

/** The inference service in this process over the real test model, with what tests do with it. */
export interface RealWorker {
  readonly engine: GeneratingEngine
  readonly service: InferenceService
  /** The same file, vocabulary only, to make prompts from and to compare with. */
  readonly vocabulary: LlamaModel
  /** What was logged. */
  readonly lines: readonly string[]
  chat(question: string): number[]
  generate(request: Request, signal?: AbortSignal): AsyncIterable<GenerateEvent>
  answer(request: Request, signal?: AbortSignal): Promise<Answer>
  close(): Promise<void>
}

export const realModel = 'smollm2-135m-instruct'
export const realOptions: LlamaEngineOptions = {
  model: realModel,
  path: process.env['INTRAMUROS_TEST_MODEL'] ?? '',
  slots: 4,
  spareSlots: 1,
  contextLength: 1024,
  batchSize: 512,
  threads: 1,
  gpu: 'off',
}

/** To decode with the engine itself. */
export const greedySampling: Sampling = { ...greedy, logitBias: new Map(), seed: 1 }
export const plainDecode: DecodeRequest = {
  slot: 0,
  tokens: [504, 3575],
  keep: 0,
  share: { weight: 1, batch: false, served: 0, waiting: 0 },
  sampling: greedySampling,
  guide: undefined,
  topLogprobs: undefined,
}

const forever = new AbortController().signal

export async function startRealWorker({ batchSize = realOptions.batchSize, ...more }: Partial<InferenceOptions> & { batchSize?: number } = {}): Promise<RealWorker> {
  const lines: string[] = []
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) })
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.disabled })
  const vocabulary = await llama.loadModel({ modelPath: realOptions.path, vocabOnly: true })
  const engine = await createLlamaEngine({ ...realOptions, batchSize }, log)
  if (engine.kind !== 'generating') throw new TypeError('not a model that generates')
  const service = createInferenceService({
    engine,
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000, ...more },
    log,
    metrics: createMetrics(new Registry()),
    onHang: () => undefined,
  })
  await vi.waitUntil(() => service.ready(), 20_000)

  function chat(question: string): number[] {
    return vocabulary.tokenize(`<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`, true)
  }

  function generate(request: Request, signal = forever): AsyncIterable<GenerateEvent> {
    const whole = generateRequest({ model: realModel, tokens: chat('What is the capital of France?'), maxTokens: 32, ...request })
    return service.generate(whole, { requestId: 'r', peer: 'gateway', signal })
  }

  return {
    engine,
    service,
    vocabulary,
    lines,
    chat,
    generate,
    answer: (request, signal) => readAnswer(generate(request, signal)),
    async close() {
      await service.close()
      await vocabulary.dispose()
    },
  }
}

export async function readAnswer(events: AsyncIterable<GenerateEvent>): Promise<Answer> {
  const result: Answer = {
    text: '',
    tokens: [],
    logprobs: [],
    reason: undefined,
    stopSequence: undefined,
    outputTokens: 0,
    reasoningTokens: 0,
    cachedTokens: 0,
  }
  for await (const { event } of events) {
    if (event?.$case === 'delta') {
      result.text += event.value.text
      result.tokens.push(...event.value.tokens)
      result.logprobs.push(...event.value.logprobs)
    } else if (event?.$case === 'finish') {
      const { reason, stopSequence, outputTokens, reasoningTokens, cachedTokens } = event.value
      Object.assign(result, { reason, stopSequence, outputTokens, reasoningTokens, cachedTokens })
    }
  }
  return result
}
