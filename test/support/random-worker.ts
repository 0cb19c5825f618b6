import { pino } from 'pino'
import { Registry } from 'prom-client'
import { vi } from 'vitest'
import { createMetrics } from '../../services/inference-worker/metrics.ts'
import { createInferenceService } from '../../services/inference-worker/service.ts'
import { generateRequest } from './generate-request.ts'
import { loadRandomModel } from './random-models.ts'
import { type Answer, readAnswer, type Request } from './real-worker.ts'

/**
 * The inference service in this process over one of the random models: no spare slot, 512 tokens of context. Prompts are evaluated in
 * pieces of `promptPiece` tokens: more are only taken as time allows, so that what the pieces are would depend on how busy the machine is.
 */
export interface RandomWorker {
  answer(request: Request): Promise<Answer>
  close(): Promise<void>
}

/** As step-plan.ts has it: the least that is taken of a prompt. */
export const promptPiece = 32

const forever = new AbortController().signal

export async function startRandomWorker(path: string, slots = 2): Promise<RandomWorker> {
  const service = createInferenceService({
    engine: await loadRandomModel(path, { slots, batchSize: promptPiece }),
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 },
    log: pino({ level: 'silent' }),
    metrics: createMetrics(new Registry()),
    onHang: () => undefined,
  })
  await vi.waitUntil(() => service.ready(), 20_000)
  return {
    answer: (request) => readAnswer(service.generate(generateRequest({ model: 'random', ...request }), { requestId: 'r', peer: 'gateway', signal: forever })),
    close: () => service.close(),
  }
}
