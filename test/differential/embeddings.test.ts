import { pino } from 'pino'
import { Registry } from 'prom-client'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import { createMetrics } from '../../services/inference-worker/metrics.ts'
import { createInferenceService, type InferenceService } from '../../services/inference-worker/service.ts'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'
import { minilmModel } from '../support/minilm.ts'
import { cosine } from './cosine.ts'
import { sentences } from './sentences.ts'

// The worker's embeddings against those of llama-server, which minilm.test.ts holds against the original weights.

const Tokens = Type.Object({ tokens: Type.Array(Type.Integer()) })
const Embeddings = Type.Object({ data: Type.Array(Type.Object({ embedding: Type.Array(Type.Number()) })) })

let server: LlamaServer
let service: InferenceService

beforeAll(async () => {
  const path = await minilmModel()
  server = await startLlamaServer({ model: path, args: ['--embedding'] })
  const log = pino({ level: 'silent' })
  const engine = await createLlamaEngine({ model: 'm', path, slots: 1, spareSlots: 0, contextLength: 0, batchSize: 512, threads: 1, gpu: 'off' }, log)
  const options = { maxQueued: 1, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 60_000 }
  service = createInferenceService({ engine, options, log, metrics: createMetrics(new Registry()), onHang: () => undefined })
  await vi.waitUntil(() => service.ready(), 60_000)
})
afterAll(async () => {
  await service?.close()
  await server?.close()
})

async function tokensOf(content: string): Promise<number[]> {
  return Parse(Tokens, await server.post('/tokenize', { content, add_special: true })).tokens
}

async function ours(inputs: readonly number[][]): Promise<number[][]> {
  const call = { requestId: 'r', peer: 'gateway', signal: new AbortController().signal }
  const { embeddings } = await service.embed({ model: 'm', team: 'default', weight: 0, batch: false, inputs: inputs.map((tokens) => ({ tokens })) }, call)
  return embeddings.map(({ values }) => values)
}

async function theirs(inputs: readonly number[][]): Promise<number[][]> {
  const answer = Parse(Embeddings, await server.post('/v1/embeddings', { input: inputs }))
  return answer.data.map(({ embedding }) => embedding)
}

it('has the same embeddings, of length 1, one by one and many at once', async () => {
  const inputs = await Promise.all(sentences.map(tokensOf))
  const expected = await theirs(inputs)
  const together = await ours(inputs)
  const alone: number[][] = []
  for (const tokens of inputs) alone.push(...(await ours([tokens])))
  for (const [index, sentence] of sentences.entries()) {
    const [reference = [], among = [], single = []] = [expected[index], together[index], alone[index]]
    expect(cosine(single, reference), sentence).toBeGreaterThan(0.9999)
    expect(cosine(among, reference), sentence).toBeGreaterThan(0.9999)
    expect(Math.hypot(...among), sentence).toBeCloseTo(1, 5)
  }
})

it('has the same for a text that fills the context', async () => {
  const tokens = (await tokensOf('word '.repeat(600))).slice(0, 511)
  const [filling = []] = await theirs([[...tokens, 102]])
  const [actual = []] = await ours([[...tokens, 102]])
  expect(cosine(actual, filling)).toBeGreaterThan(0.9999)
})
