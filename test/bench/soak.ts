/**
 * A long mixed load on two real workers, one that generates and one that embeds: chats, long prompts, requests that are given up at any
 * moment. Prints how the memory of each goes; ends with status 1 when it grows, a slot stays taken, an error comes or a worker ends, and
 * with 2 when the run was too short or too noisy to tell whether memory grows.
 *
 *   npm run bench:soak -- --minutes 60 [--warm-up 10] [--limit 16] [--clients 6] [--model FILE.gguf]
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
import fetchTestModel from '../support/fetch-model.ts'
import { minilmModel } from '../support/minilm.ts'
import { until } from '../support/platform.ts'
import { processFigures, proportionalMemory } from '../support/process-figures.ts'
import { connectWorkerLane } from '../support/worker-lane.ts'
import { startWorkerProcess, type WorkerProcess } from '../support/pinned-worker.ts'
import { soak, type SoakCounts } from './soak-load.ts'
import { type Point, trend } from './trend.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    /** Minutes at the start that are not in the trend; default: a quarter. */
    'warm-up': { type: 'string' },
    /** MiB an hour that count as flat. */
    limit: { type: 'string', default: '16' },
    clients: { type: 'string', default: '6' },
    model: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const warmUp = Number(values['warm-up'] ?? minutes / 4)
const limit = Number(values.limit)
const sampleMs = Math.min(10_000, (minutes * 60_000) / 60)
const mebibyte = 2 ** 20

/** What is watched of a worker, in bytes. The first must be flat; the others help to find why it is not. PSS: what others share counts in part. */
const watched = ['anonymous memory', 'PSS', 'RSS', 'heap', 'outside the heap'] as const
type Watched = (typeof watched)[number]

if (values.model === undefined) await fetchTestModel()
const model = values.model ?? process.env['INTRAMUROS_TEST_MODEL'] ?? ''
const embeddingModel = await minilmModel()
const text = await tokens(model)
const embeddingText = await tokens(embeddingModel)
const generator = await startWorkerProcess({ model, slots: 4, contextLength: 1024, env: { INTRAMUROS_INFERENCE_WORKER_MAX_QUEUED: '2' } })
const embedder = await startWorkerProcess({ model: embeddingModel, slots: 1, contextLength: 512 })
const workers: Record<string, WorkerProcess> = { generating: generator, embedding: embedder }
const samples = new Map<string, Point[]>()
const counts: SoakCounts = { chats: 0, longPrompts: 0, cancelled: 0, embeddings: 0, refused: 0, errors: new Map() }
const problems: string[] = []
let unsure = false

try {
  const generating = await connectWorkerLane(generator)
  const embedding = await connectWorkerLane(embedder)
  const end = AbortSignal.timeout(minutes * 60_000)
  const load = soak({ generating, embedding, model: generator.model, text, embeddingText, clients: Number(values.clients), signal: end, random: seeded(1) }, counts)
  const sampling = watchMemory(end)
  await Promise.all([load, sampling])
  await checkSlots()
  generating.close()
  embedding.close()
  judge()
} finally {
  await Promise.all([generator.close(), embedder.close()])
}
process.exitCode = problems.length > 0 ? 1 : unsure ? 2 : 0

async function watchMemory(signal: AbortSignal): Promise<void> {
  const begin = performance.now()
  let nextLine = 0
  while (!signal.aborted) {
    await after(sampleMs, undefined, { signal }).catch(() => undefined)
    const elapsed = (performance.now() - begin) / 60_000
    const line: string[] = []
    for (const [name, worker] of Object.entries(workers)) {
      if (worker.exitCode() !== undefined) {
        problems.push(`the ${name} worker ended with ${worker.exitCode()}`)
        continue
      }
      const now = await memoryOf(worker)
      for (const what of watched) samplesOf(name, what).push({ x: elapsed, y: now[what] })
      line.push(`${name} ${(now['anonymous memory'] / mebibyte).toFixed(1)} MiB (heap ${(now.heap / mebibyte).toFixed(1)})`)
    }
    if (problems.length > 0) return
    if (elapsed >= nextLine) {
      print(`${elapsed.toFixed(1).padStart(6)} min | ${line.join(' | ')} | ${told()}`)
      nextLine += minutes / 20
    }
  }
}

async function memoryOf(worker: WorkerProcess): Promise<Record<Watched, number>> {
  const [figures, share, metrics] = await Promise.all([processFigures(worker.pid), proportionalMemory(worker.pid), worker.metrics()])
  const resident = gauge(metrics, 'process_resident_memory_bytes')
  return {
    'anonymous memory': share?.anonymous ?? resident,
    PSS: share?.all ?? resident,
    RSS: figures?.rss ?? resident,
    heap: gauge(metrics, 'nodejs_heap_size_used_bytes'),
    'outside the heap': gauge(metrics, 'nodejs_external_memory_bytes'),
  }
}

async function checkSlots(): Promise<void> {
  for (const [name, worker] of Object.entries(workers)) {
    if (worker.exitCode() !== undefined) continue
    const taken = async (): Promise<number> => {
      const metrics = await worker.metrics()
      return gauge(metrics, 'intramuros_worker_busy_slots') + gauge(metrics, 'intramuros_worker_queued_requests')
    }
    // The worker's own probe holds one for a moment.
    await until(async () => (await taken()) === 0, 'the slots to be free', 15_000).catch(async () => {
      problems.push(`${await taken()} slots or places in the queue of the ${name} worker are taken with nothing under way`)
    })
  }
}

function judge(): void {
  print('')
  for (const [name, worker] of Object.entries(workers)) {
    for (const what of watched) {
      const points = samplesOf(name, what).filter(({ x }) => x >= warmUp)
      const found = trend(points.map(({ x, y }) => ({ x: x / 60, y: y / mebibyte })))
      const { slope, margin } = found
      print(`${name}, ${what}: ${slope.toFixed(1)} ± ${margin.toFixed(1)} MiB an hour after the first ${warmUp} minutes, ${points.length} samples, at the end ${((points.at(-1)?.y ?? Number.NaN) / mebibyte).toFixed(1)} MiB`)
      if (what !== 'anonymous memory') continue
      if (slope - margin > limit) problems.push(`the memory of the ${name} worker grows by ${slope.toFixed(1)} MiB an hour`)
      else if (!(slope + margin <= limit)) unsure = true
    }
    const crashed = worker.output().split('\n').filter((line) => line.includes('"level":50') || line.includes('"level":"error"'))
    if (crashed.length > 0) problems.push(`the ${name} worker logged ${crashed.length} errors`)
  }
  for (const [error, count] of counts.errors) problems.push(`${count} times: ${error}`)
  print(told())
  for (const problem of problems) print(`FAILED: ${problem}`)
  if (problems.length === 0) print(unsure ? `Too short or too noisy to tell whether memory stays within ${limit} MiB an hour.` : 'Memory is flat, all slots are free, no errors.')
}

function told(): string {
  const { chats, longPrompts, cancelled, embeddings, refused, errors } = counts
  const failed = [...errors.values()].reduce((sum, count) => sum + count, 0)
  return `chats ${chats}, long prompts ${longPrompts}, given up ${cancelled}, embeddings ${embeddings}, refused ${refused}, errors ${failed}`
}

function samplesOf(worker: string, what: Watched): Point[] {
  const name = `${worker} ${what}`
  const list = samples.get(name) ?? []
  samples.set(name, list)
  return list
}

function gauge(metrics: string, name: string): number {
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN)
}

async function tokens(path: string): Promise<number[]> {
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.disabled })
  const vocabulary = await llama.loadModel({ modelPath: path, vocabOnly: true })
  const list = vocabulary.tokenize(await readFile(join(import.meta.dirname, '../../LICENSE'), 'utf8'), false)
  await llama.dispose()
  return list
}

/** Park and Miller's generator: the same load each time, as far as times allow. */
function seeded(seed: number): () => number {
  let state = seed
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
