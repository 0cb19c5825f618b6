/**
 * How fast a worker answers, beside llama.cpp's own server: the worker as it is, over gRPC with mTLS, and llama-server over HTTP, with
 * the same GGUF, one thread, the same slots, contexts and sampling. In one run and in turn; whichever is measured has one core to itself
 * and the load generator the other. Where other programs want those cores too, believe the CPU times rather than the tokens a second.
 *
 *   npm run bench:engine                                 everything: half an hour and more
 *   npm run bench:engine -- --quick                      to see that it runs
 *   npm run bench:engine -- --workloads short,chat --concurrency 1,8 --rounds 5 --temperatures 0.8 --model FILE.gguf
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
import fetchTestModel from '../support/fetch-model.ts'
import { startLlamaServer } from '../support/llama-server.ts'
import { instructionSets, type LlamaServerBuild, llamaServerVersion } from '../support/llama-server-build.ts'
import { pinnedTo } from '../support/pinned.ts'
import { mappedFiles, processFigures } from '../support/process-figures.ts'
import { startWorkerProcess } from '../support/pinned-worker.ts'
import type { EnginePlan, EngineResult } from './engine-load.ts'
import type { SamplingChoice, TargetAddress } from './engine-targets.ts'
import { contextNeeded, quickWorkloads, type Workload, workloads } from './engine-workloads.ts'
import { median, percentile } from './statistics.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    model: { type: 'string' },
    rounds: { type: 'string' },
    concurrency: { type: 'string' },
    workloads: { type: 'string' },
    temperatures: { type: 'string' },
    /** Most tokens in one decode call of llama-server; the worker chooses its own. */
    'server-batch': { type: 'string', default: '2048' },
  },
})
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
const levels = numbers(values.concurrency ?? (values.quick ? '1,8' : '1,4,8,16'))
const temperatures = numbers(values.temperatures ?? (values.quick ? '0' : '0,0.8'))
const all = values.quick ? quickWorkloads : workloads
const chosen = values.workloads === undefined ? all : all.filter(({ name }) => values.workloads?.split(',').includes(name))
// The quick one must not wait for a build of its own.
const build: LlamaServerBuild = values.quick ? 'answers' : 'speed'
const slots = Math.max(...levels)
const contextLength = Math.ceil((Math.max(...chosen.map(contextNeeded)) + 64) / 256) * 256

if (values.model === undefined) await fetchTestModel()
const model = values.model ?? process.env['INTRAMUROS_TEST_MODEL'] ?? ''
const { text, endTokens } = await readVocabulary(model)

interface Side {
  name: string
  pid: number
  address: TargetAddress
}

interface Measured {
  tokens: number
  seconds: number
  cpuUs: number
  ttft: number[]
  itl: number[]
}

const [program, ...before] = [...pinnedTo(0), process.execPath]
const load = spawn(program, [...before, join(import.meta.dirname, 'engine-load.ts')], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
const worker = await startWorkerProcess({ model, slots, contextLength, under: pinnedTo(1) })
const server = await startLlamaServer({
  model,
  build,
  under: pinnedTo(1),
  args: ['--parallel', String(slots), '--ctx-size', String(slots * contextLength), '--batch-size', values['server-batch'], '--slot-prompt-similarity', '0.1'],
})
const ours: Side = { name: 'intramuros', pid: worker.pid, address: { kind: 'worker', address: worker.address, tls: worker.tls, model: worker.model, endTokens } }
const theirs: Side = { name: 'llama-server', pid: server.pid, address: { kind: 'llama-server', url: server.url } }
let promptNumber = 1

try {
  await describe()
  // The first requests run code that is not compiled yet: 4,096 tokens, after which the CPU time a token no longer falls.
  for (const side of [ours, theirs]) await measure(side, warmUp())
  for (const workload of chosen) {
    for (const temperature of temperatures) await compare(workload, samplingOf(temperature))
  }
  await printMemory()
} finally {
  load.kill()
  await Promise.all([worker.close(), server.close()])
}

async function compare(workload: Workload, sampling: SamplingChoice): Promise<void> {
  const { name, promptTokens, turns, turnTokens, answerTokens } = workload
  const turnText = turns > 1 ? `, ${turns} turns of ${turnTokens} more and the answer before` : ''
  print('')
  print(`${name}: prompts of ${promptTokens} tokens${turnText}, answers of ${answerTokens}; ${sampling.temperature === 0 ? 'greedy' : `temperature ${sampling.temperature}, top-k ${sampling.topK}, top-p ${sampling.topP}, min-p ${sampling.minP}`}`)
  print('  at once | server       | tokens/s | CPU, µs a token | first token, ms: p50    p95    p99 | between tokens, ms: p50    p95    p99 | to llama-server: tokens/s, median (each round); CPU')
  for (const concurrency of levels) {
    const sums = { ours: nothing(), theirs: nothing() }
    const ratios: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      // Both get the same prompts, and take turns in who is first.
      const first = promptNumber
      promptNumber += concurrency * workload.conversations
      const plan = { workload, concurrency, sampling, firstPrompt: first }
      const order = round % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)
      const speed = { ours: 0, theirs: 0 }
      for (const which of order) {
        const measured = await measure(which === 'ours' ? ours : theirs, plan)
        speed[which] = measured.tokens / measured.seconds
        add(sums[which], measured)
      }
      ratios.push(speed.ours / speed.theirs)
    }
    const each = ratios.map((ratio) => ratio.toFixed(2)).join(' ')
    print(row(String(concurrency), ours.name, sums.ours, `${median(ratios).toFixed(3)} (${each}); ${(sums.ours.cpuUs / sums.ours.tokens / (sums.theirs.cpuUs / sums.theirs.tokens)).toFixed(3)}`))
    print(row('', theirs.name, sums.theirs, ''))
  }
}

async function measure({ pid, address }: Side, plan: Omit<EnginePlan, 'target' | 'text'>): Promise<Measured> {
  const before = await processFigures(pid)
  load.send({ ...plan, target: address, text } satisfies EnginePlan)
  const [result] = (await once(load, 'message')) as [EngineResult]
  if (result.error !== undefined) throw new Error(`${address.kind}: ${result.error}`)
  const after = await processFigures(pid)
  return { tokens: result.outputTokens, seconds: result.seconds, cpuUs: (after?.cpuUs ?? Number.NaN) - (before?.cpuUs ?? 0), ttft: result.ttft, itl: result.itl }
}

function warmUp(): Omit<EnginePlan, 'target' | 'text'> {
  const workload: Workload = { name: 'short', promptTokens: 30, turnTokens: 0, turns: 1, answerTokens: 64, conversations: values.quick ? 1 : 32 }
  const firstPrompt = promptNumber
  promptNumber += 2 * workload.conversations
  return { workload, concurrency: 2, sampling: samplingOf(0), firstPrompt }
}

function nothing(): Measured {
  return { tokens: 0, seconds: 0, cpuUs: 0, ttft: [], itl: [] }
}

function add(sum: Measured, { tokens, seconds, cpuUs, ttft, itl }: Measured): void {
  sum.tokens += tokens
  sum.seconds += seconds
  sum.cpuUs += cpuUs
  sum.ttft.push(...ttft)
  sum.itl.push(...itl)
}

function row(level: string, name: string, { tokens, seconds, cpuUs, ttft, itl }: Measured, ratio: string): string {
  const times = (list: number[]): string => [0.5, 0.95, 0.99].map((share) => percentile(list, share).toFixed(1).padStart(6)).join(' ')
  return `  ${level.padStart(7)} | ${name.padEnd(12)} | ${(tokens / seconds).toFixed(1).padStart(8)} | ${(cpuUs / tokens).toFixed(0).padStart(15)} | ${times(ttft).padStart(34)} | ${times(itl).padStart(37)} | ${ratio}`
}

async function describe(): Promise<void> {
  const root = join(import.meta.dirname, '../..')
  const { tag } = await readJson(join(root, 'node_modules/node-llama-cpp/llama/llama.cpp.info.json'))
  const { version } = await readJson(join(root, 'node_modules/node-llama-cpp/package.json'))
  const library = (await mappedFiles(worker.pid, /^libggml-cpu.*\.so$/)).join(', ')
  const sets = (await instructionSets(build)).filter((set) => set.endsWith('=ON')).map((set) => set.slice('GGML_'.length, -'=ON'.length))
  print(`${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, Node ${process.version}; ${basename(model)}, ${slots} slots of ${contextLength} tokens, 1 thread each; ${rounds} rounds in turn`)
  print(`  intramuros:   node-llama-cpp ${version} with llama.cpp ${tag}, ${library || 'one library for all CPUs'}`)
  print(`  llama-server: ${await llamaServerVersion(build)}, built with ${sets.join(' ') || "ggml's defaults"}; batches of ${values['server-batch']} tokens, own prompt cache in the slots`)
  print(`  ${pinnedTo(1).length > 0 ? 'servers on core 1, load on core 0' : 'not pinned to cores: load and servers share them'}`)
}

async function printMemory(): Promise<void> {
  print('')
  for (const { name, pid } of [ours, theirs]) {
    const figures = await processFigures(pid)
    print(`  most memory, the file's pages among it: ${name} ${figures === undefined ? 'unknown' : `${(figures.peakRss / 2 ** 20).toFixed(0)} MiB`}`)
  }
}

/** A text to make prompts of, and the tokens that end an answer. */
async function readVocabulary(path: string): Promise<{ text: number[]; endTokens: number[] }> {
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.disabled })
  const vocabulary = await llama.loadModel({ modelPath: path, vocabOnly: true })
  const licence = await readFile(join(import.meta.dirname, '../../LICENSE'), 'utf8')
  const tokens = vocabulary.tokenize(licence, false)
  const end = Array.from({ length: vocabulary.fileInfo.metadata.tokenizer.ggml.tokens.length }, (_, token) => token).filter((token) => vocabulary.isEogToken(token as (typeof tokens)[number]))
  await llama.dispose()
  return { text: tokens, endTokens: end }
}

function samplingOf(temperature: number): SamplingChoice {
  return temperature === 0 ? { temperature, topK: 0, topP: 1, minP: 0 } : { temperature, topK: 40, topP: 0.95, minP: 0.05 }
}

async function readJson(path: string): Promise<Record<string, string>> {
  return JSON.parse(await readFile(path, 'utf8')) as Record<string, string>
}

function numbers(list: string): number[] {
  return list.split(',').map(Number)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
