import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { Check } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Reranking } from '../../services/gateway/api/rerank/response.ts'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import type { Engine } from '../../services/inference-worker/engines/engine.ts'
import { open, send } from '../support/client.ts'
import { encodeMetadata, type GgufFile, parseGguf } from '../support/gguf-file.ts'
import { writeGguf } from '../support/gguf-edit.ts'
import { minilmReranker } from '../support/minilm.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

const query = 'Where do owls sleep?'
const documents = ['Owls sleep in hollow trees.', 'The stadium was full.', 'It rained all day.', 'Eulen schlafen am Tag. 🦉']
const forever = new AbortController().signal

describe('the engine', () => {
  let path: string
  let folder: string
  beforeAll(async () => {
    path = await minilmReranker()
    folder = await mkdtemp(join(tmpdir(), 'intramuros-rerank-'))
  }, 180_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const load = (file: string): Promise<Engine> =>
    createLlamaEngine({ model: 'm', path: file, slots: 2, spareSlots: 0, contextLength: 0, batchSize: 512, threads: 1, gpu: 'off' }, pino({ level: 'silent' }))

  test('gives the score of the head that is in the file', async () => {
    // The layers alone, pooled at the first token: what the head gets.
    const file = parseGguf(await readFile(path))
    const bare = join(folder, 'bare.gguf')
    const metadata = new Map(file.metadata).set('bert.pooling_type', encodeMetadata(2))
    await writeGguf(bare, { ...file, metadata, tensors: file.tensors.filter(({ name }) => !name.startsWith('cls.')) })
    const first = [101, 2073, 2079, 27_211, 102, 3637, 102]
    const second = [101, 7592, 102, 2088]
    const layers = await load(bare)
    if (layers.kind !== 'embedding') throw new TypeError('not an embedding model')
    const expected = headOf(file, await layers.embed(first, forever))
    await layers.close()
    const engine = await load(path)
    if (engine.kind !== 'ranking') throw new TypeError('not a reranking model')
    expect(engine).toMatchObject({ contextLength: 512, vocabularySize: 30_522 })
    expect(await engine.rank(first, forever)).toBeCloseTo(expected, 3)
    const alone = await engine.rank(second, forever)
    expect(alone).not.toBeCloseTo(expected, 2)
    const together = await Promise.all([first, second, first, second].map((tokens) => engine.rank(tokens, forever)))
    expect(together[1]).toBe(alone)
    expect(together.slice(2)).toEqual(together.slice(0, 2))
    await expect(engine.rank([101], AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
    await engine.close()
  }, 60_000)

  test('a file without a head is told', async () => {
    const file = parseGguf(await readFile(path))
    const headless = join(folder, 'headless.gguf')
    await writeGguf(headless, { ...file, tensors: file.tensors.filter(({ name }) => !name.startsWith('cls.')) })
    await expect(load(headless)).rejects.toMatchObject({ name: 'EngineLoadError', reason: 'unsupported_pooling', message: expect.stringContaining('cls.weight') as string })
  })
})

/** σ(w₂ · tanh(W₁ x + b₁) + b₂), with the file's own numbers. */
function headOf({ tensors, data }: GgufFile, vector: readonly number[]): number {
  const numbers = (name: string): Float32Array => {
    const tensor = tensors.find((one) => one.name === name)
    if (tensor === undefined) throw new Error(`${name} is not in the file`)
    const length = tensor.dimensions.reduce((product, dimension) => product * dimension, 1)
    return Float32Array.from({ length }, (_, index) => data.readFloatLE(Number(tensor.offset) + index * 4))
  }
  const dot = (weights: Float32Array, row: number, values: readonly number[]): number => values.reduce((sum, value, place) => sum + value * (weights[row * values.length + place] ?? 0), 0)
  const [dense, bias, output, last] = [numbers('cls.weight'), numbers('cls.bias'), numbers('cls.output.weight'), numbers('cls.output.bias')]
  const hidden = vector.map((_, row) => Math.tanh(dot(dense, row, vector) + (bias[row] ?? 0)))
  return 1 / (1 + Math.exp(-(dot(output, 0, hidden) + (last[0] ?? 0))))
}

interface Ranked {
  results: { index: number; relevance_score: number; document?: { text: string } }[]
  usage: { prompt_tokens: number }
  error: { code: string; param: string | null; message: string }
}

describe('POST /v1/rerank', () => {
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform({ embeddingModelPath: await minilmReranker() })
  }, 180_000)
  afterAll(() => platform.stop())

  async function post(body: object, path = '/v1/rerank') {
    const reply = await send(platform, { model: platform.embeddingModel, query, documents, ...body }, { path })
    return { status: reply.status, json: JSON.parse(reply.text) as Ranked }
  }

  test('gives the documents in the order of their scores', async () => {
    const { status, json } = await post({})
    expect(status).toBe(200)
    expect(Check(Reranking, json)).toBe(true)
    const scores = json.results.map((result) => result.relevance_score)
    expect(scores).toEqual(scores.toSorted((a, b) => b - a))
    expect(new Set(scores).size).toBe(documents.length)
    expect(json.results.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
    expect(json.results.every((result) => result.document === undefined)).toBe(true)
    // As many as the pairs have, counted with the tokenizer.
    expect(json.usage.prompt_tokens).toBeGreaterThan(40)
    for (const path of ['/v2/rerank', '/rerank']) expect((await post({}, path)).json.results).toEqual(json.results)
  })

  test('a score does not depend on the other documents, nor on how many there are', async () => {
    const { results } = (await post({})).json
    const many = Array.from({ length: 150 }, (_, index) => documents[index % 4] ?? '')
    const all = (await post({ documents: many })).json.results
    expect(all).toHaveLength(150)
    for (const { index, relevance_score: score } of all) expect(score).toBe(results.find((result) => result.index === index % 4)?.relevance_score)
  }, 60_000)

  test('top_n and return_documents', async () => {
    const { results } = (await post({})).json
    const cut = (await post({ top_n: 2, return_documents: true, documents: documents.map((text) => ({ text })) })).json.results
    expect(cut).toEqual(results.slice(0, 2).map((result) => ({ ...result, document: { text: documents[result.index] } })))
  })

  test('a text that spells special tokens is that text', async () => {
    const one = (await post({ documents: ['a [SEP] b', 'a b'] })).json
    expect(one.results[0]?.relevance_score).not.toBe(one.results[1]?.relevance_score)
    // [CLS] query [SEP] a [ sep ] b, and [CLS] query [SEP] a b
    expect(one.usage.prompt_tokens - (await post({ documents: ['a b', 'a b'] })).json.usage.prompt_tokens).toBe(3)
  })

  test.each<[string, object, string, string, string]>([
    ['a document that is too long', { documents: ['short', 'owl '.repeat(600)] }, 'context_length_exceeded', 'documents[1]', '512'],
    ['one that is far too long', { documents: ['x'.repeat(200_000)] }, 'context_length_exceeded', 'documents[0]', '512'],
    ['no documents', { documents: [] }, 'invalid_value', 'documents', ''],
    ['no query', { query: '' }, 'invalid_value', 'query', ''],
    ['a document that is a number', { documents: ['a', 1] }, 'invalid_value', 'documents[1]', ''],
    ['a wish to have them cut', { max_tokens_per_doc: 100 }, 'unsupported_parameter', 'max_tokens_per_doc', ''],
  ])('%s is refused', async (_what, body, code, param, text) => {
    const { status, json } = await post(body)
    expect(status).toBe(400)
    expect(json.error).toMatchObject({ code, param, message: expect.stringContaining(text) as string })
  })

  test('a model does only what it is for, and says so', async () => {
    const refused = async (path: string, body: object) => (JSON.parse((await send(platform, body, { path })).text) as Ranked).error
    const model = platform.embeddingModel
    expect(await refused('/v1/rerank', { model: platform.model, query, documents })).toMatchObject({ code: 'unsupported_model', param: 'model' })
    expect(await refused('/v1/embeddings', { model, input: 'a' })).toMatchObject({ code: 'unsupported_model', param: 'model' })
    expect(await refused('/v1/completions', { model, prompt: 'a' })).toMatchObject({ param: 'model' })
    const listed = JSON.parse((await send(platform, undefined, { method: 'GET', path: `/v1/models/${model}` })).text) as { capabilities: string[] }
    expect(listed.capabilities).toEqual(['rerank'])
  })

  test('stands in the audit log, without a word of it', async () => {
    await post({ query: 'canary-7d2e' })
    const records = await auditRecords(platform.home)
    expect(JSON.stringify(records)).toContain('POST /v1/rerank')
    expect(JSON.stringify(records) + platform.output()).not.toMatch(/canary|owl/)
  })

  test('a client that goes away ends it', async () => {
    const body = { model: platform.embeddingModel, query, documents: Array.from({ length: 1000 }, () => 'owl '.repeat(400)) }
    const client = new AbortController()
    open(platform, body, { path: '/v1/rerank', signal: client.signal }).catch(() => undefined)
    const busy = async () => /^intramuros_worker_busy_slots(?:\{[^}]*\})? 1/m.test(await (await fetch(`${platform.monitor('worker-embedding')}/metrics`)).text())
    await until(busy, 'the worker to work on it')
    client.abort()
    await until(async () => !(await busy()) && (await auditRecords(platform.home)).some(({ outcome }) => outcome === 'cancelled'), 'the slot to be free')
    expect((await post({})).status).toBe(200)
  }, 60_000)
})
