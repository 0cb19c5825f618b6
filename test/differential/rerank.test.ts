import { pino } from 'pino'
import { Registry } from 'prom-client'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import type { RankingEngine } from '../../services/inference-worker/engines/engine.ts'
import { createTokenizerService, type TokenizerService } from '../../services/tokenizer/service.ts'
import { createMetrics } from '../../services/tokenizer/metrics.ts'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'
import { minilmReranker } from '../support/minilm.ts'
import { randomModels } from '../support/random-models.ts'
import { sentences } from './sentences.ts'

// Scores and lengths of pairs, tokenizer and engine together, against llama-server's, which gives the head's number as it is where ours is between 0 and 1.

const Ranked = Type.Object({
  results: Type.Array(Type.Object({ index: Type.Integer(), relevance_score: Type.Number() })),
  usage: Type.Object({ prompt_tokens: Type.Integer() }),
})

const files: [string, () => Promise<string>, (score: number) => number][] = [
  ['a BERT with a head', minilmReranker, (logit) => 1 / (1 + Math.exp(-logit))],
  ['a Qwen3 with a template', async () => (await randomModels(process.env['INTRAMUROS_TEST_MODEL'] ?? '')).reranker, (probability) => probability],
]
const log = pino({ level: 'silent' })

describe.each(files)('%s', (_name, file, squash) => {
  let server: LlamaServer
  let engine: RankingEngine
  let tokenizer: TokenizerService

  beforeAll(async () => {
    const path = await file()
    server = await startLlamaServer({ model: path, args: ['--reranking', '--ubatch-size', '512'] })
    const loaded = await createLlamaEngine({ model: 'm', path, slots: 1, spareSlots: 0, contextLength: 0, batchSize: 512, threads: 1, gpu: 'off' }, log)
    if (loaded.kind !== 'ranking') throw new TypeError('not taken for a reranking model')
    engine = loaded
    tokenizer = await createTokenizerService({ models: [{ id: 'm', path }], log, metrics: createMetrics(new Registry()) })
  }, 180_000)
  afterAll(async () => {
    await tokenizer?.close()
    await engine?.close()
    await server?.close()
  })

  it.each(sentences.slice(0, 3).map((query) => ({ query })))('scores all sentences against "$query" alike', async ({ query }) => {
    const call = { requestId: 'r', peer: 'gateway', signal: new AbortController().signal }
    const { pairs } = await tokenizer.handlers.preparePairs({ model: 'm', query, documents: [...sentences] }, call)
    const theirs = Parse(Ranked, await server.post('/v1/rerank', { query, documents: sentences }))
    expect(pairs.reduce((sum, { ids }) => sum + ids.length, 0)).toBe(theirs.usage.prompt_tokens)
    for (const { index, relevance_score: score } of theirs.results) {
      expect(await engine.rank(pairs[index]?.ids ?? [], call.signal), sentences[index]).toBeCloseTo(squash(score), 2)
    }
  })
})
