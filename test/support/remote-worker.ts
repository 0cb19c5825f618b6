import { pino } from 'pino'
import { Registry } from 'prom-client'
import { vi } from 'vitest'
import type { GenerateEvent } from '../../proto/gen/intramuros/v1/inference.ts'
import type { Engine } from '../../services/inference-worker/engines/engine.ts'
import { createOpenaiEngine, type OpenaiEngineOptions } from '../../services/inference-worker/engines/openai/openai.ts'
import { createMetrics } from '../../services/inference-worker/metrics.ts'
import { createInferenceService, type InferenceService } from '../../services/inference-worker/service.ts'
import { generateRequest } from './generate-request.ts'
import { type Answer, readAnswer, type Request } from './real-worker.ts'

/** The inference service in this process in front of a server. */
export interface RemoteWorker {
  readonly engine: Engine
  readonly service: InferenceService
  /** What was logged. */
  readonly lines: readonly string[]
  generate(request: Request, signal?: AbortSignal): AsyncIterable<GenerateEvent>
  answer(request: Request): Promise<Answer>
  close(): Promise<void>
}

const forever = new AbortController().signal

export async function startRemoteWorker(url: string, path: string, change: Partial<OpenaiEngineOptions> = {}): Promise<RemoteWorker> {
  const lines: string[] = []
  const log = pino({ base: null, level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const options: OpenaiEngineOptions = {
    model: 'm',
    path,
    address: { host: '127.0.0.1', port: Number(new URL(url).port) },
    kind: 'auto',
    nameThere: '',
    apiKey: undefined,
    slots: 0,
    contextLength: 0,
    startMs: 60_000,
    firstTokenMs: 60_000,
    nextTokenMs: 60_000,
    monitorMs: 100,
    ...change,
  }
  const engine = await createOpenaiEngine(options, log)
  const service = createInferenceService({
    engine,
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 },
    log,
    metrics: createMetrics(new Registry()),
    onHang: () => undefined,
  })
  await vi.waitUntil(() => service.ready(), 30_000)

  const generate = (request: Request, signal = forever): AsyncIterable<GenerateEvent> =>
    service.generate(generateRequest({ model: 'm', maxTokens: 32, ...request }), { requestId: 'r', peer: 'gateway', signal })
  return { engine, service, lines, generate, answer: (request) => readAnswer(generate(request)), close: () => service.close() }
}
