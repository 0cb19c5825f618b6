import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { LlamaModel } from 'node-llama-cpp'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
import type { EmbedRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import type { EmbeddingEngine } from '../../services/inference-worker/engines/engine.ts'
import { createMetrics } from '../../services/inference-worker/metrics.ts'
import { createInferenceService, type InferenceService } from '../../services/inference-worker/service.ts'
import { generateRequest } from '../support/generate-request.ts'
import { minilmModel } from '../support/minilm.ts'

const model = 'all-minilm-l6-v2'
const lines: string[] = []
const log = pino({ base: null }, { write: (line: string) => void lines.push(line) })
const forever = new AbortController().signal

let engine: EmbeddingEngine
let service: InferenceService
let vocabulary: LlamaModel

beforeAll(async () => {
  const path = await minilmModel()
  const loaded = await createLlamaEngine({ model, path, slots: 3, spareSlots: 0, contextLength: 0, batchSize: 512, threads: 1, gpu: 'off' }, log)
  if (loaded.kind !== 'embedding') throw new TypeError('not taken for an embedding model')
  engine = loaded
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.disabled })
  vocabulary = await llama.loadModel({ modelPath: path, vocabOnly: true })
  service = createInferenceService({
    engine,
    options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 },
    log,
    metrics: createMetrics(new Registry()),
    onHang: () => undefined,
  })
  await vi.waitUntil(() => service.ready(), 20_000)
}, 180_000)
afterAll(async () => {
  await service.close()
  await vocabulary.dispose()
})

/** As the tokenizer does, with [CLS] before and [SEP] behind. */
function tokensOf(text: string): number[] {
  return [101, ...vocabulary.tokenize(text), 102]
}

async function embed(texts: readonly string[], signal = forever): Promise<number[][]> {
  const request: EmbedRequest = { model, team: 'default', weight: 0, batch: false, inputs: texts.map((text) => ({ tokens: tokensOf(text) })) }
  const { embeddings } = await service.embed(request, { requestId: 'r', peer: 'gateway', signal })
  return embeddings.map(({ values }) => values)
}

function cosine(a: readonly number[] = [], b: readonly number[] = []): number {
  return a.reduce((sum, value, place) => sum + value * (b[place] ?? 0), 0)
}

describe('a real embedding model', () => {
  test('gives the similarities that its makers publish', async () => {
    // The example of sentence-transformers' documentation for all-MiniLM-L6-v2.
    const [weather, sunny, stadium] = await embed([
      'The weather is lovely today.',
      "It's so sunny outside!",
      'He drove to the stadium.',
    ])
    expect(cosine(weather, sunny)).toBeCloseTo(0.666, 2)
    expect(cosine(weather, stadium)).toBeCloseTo(0.1046, 2)
    expect(cosine(sunny, stadium)).toBeCloseTo(0.1411, 2)
  })

  test('vectors have length 1 and the model\'s dimensions', async () => {
    for (const vector of await embed(['a', 'Ein längerer Satz über Eulen. 🦉'])) {
      expect(vector).toHaveLength(384)
      expect(Math.hypot(...vector)).toBeCloseTo(1, 6)
    }
  })

  test('an input gives the same vector alone, among others, and at once with other requests', async () => {
    const [alone] = await embed(['owls'])
    const [, among] = await embed(['rivers run', 'owls', 'mountains'])
    const together = await Promise.all(['rain', 'owls', 'snow', 'hail', 'wind'].map((text) => embed([text])))
    expect(cosine(alone, among)).toBeCloseTo(1, 6)
    expect(cosine(alone, together[1]?.[0])).toBeCloseTo(1, 6)
    expect(cosine(alone, together[0]?.[0])).toBeLessThan(0.9)
  })

  test('takes a text of the whole context, and no more', async () => {
    expect(engine.contextLength).toBe(512)
    const call = (tokens: number[]) =>
      service.embed({ model, team: 'default', weight: 0, batch: false, inputs: [{ tokens }] }, { requestId: 'r', peer: 'gateway', signal: forever })
    const filling = (length: number): number[] => Array.from({ length }, (_, index) => 2000 + index)
    expect((await call([101, ...filling(510), 102])).embeddings).toHaveLength(1)
    // The model's first and last token are added when they are missing.
    expect((await call(filling(510))).embeddings).toHaveLength(1)
    await expect(call(filling(511))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'context_length_exceeded',
      message: expect.stringContaining('513') as string,
    })
    await expect(call([101, 30_522, 102])).rejects.toMatchObject({ reason: 'unknown_token' })
  }, 30_000)

  test('a cancel ends it between two inputs and frees the slot', async () => {
    const long = 'owl '.repeat(400)
    const since = performance.now()
    await embed([long])
    const one = performance.now() - since
    const gone = new AbortController()
    const cancelled = embed(Array.from({ length: 60 }, () => long), gone.signal).catch((thrown: unknown) => thrown)
    await vi.waitFor(() => expect(engine.stepMs()).toBeGreaterThan(0))
    const cancelledAt = performance.now()
    gone.abort()
    expect(await cancelled).toMatchObject({ code: 'CANCELLED' })
    expect(performance.now() - cancelledAt).toBeLessThan(one * 5)
    expect(await embed(['next'])).toHaveLength(1)
  }, 60_000)

  test('does not generate', async () => {
    const events = service.generate(generateRequest({ model }), { requestId: 'r', peer: 'gateway', signal: forever })
    await expect(events[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'not_a_generating_model',
    })
  })

  test('nothing of the texts is in the log', async () => {
    await embed(['canary-5f1c'])
    expect(lines.join('')).toContain('"msg":"embed"')
    expect(lines.join('')).not.toMatch(/canary|owl/)
  })
})
