import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import type { GeneratingEngine } from '../../services/inference-worker/engines/engine.ts'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import type { LlamaEngineOptions } from '../../services/inference-worker/engines/llama-options.ts'
import { ggufPython } from './gguf-python.ts'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

/** As random_architectures.py has them. */
export const architectures = [
  'llama', 'mixtral', 'qwen2', 'qwen3', 'qwen3moe', 'gemma', 'gemma2', 'gemma3', 'phi2', 'phi3', 'olmo', 'olmo2', 'olmoe', 'granite',
  'smollm3', 'bloom', 'gptneox', 'gpt2', 'starcoder2', 'deepseek2', 'gpt-oss', 'mamba',
] as const
export type RandomArchitecture = (typeof architectures)[number]

/** Those whose cache holds less than all tokens: some layers have only the last `randomWindow` ones, or a state that can't go back. */
export const windowed: ReadonlySet<RandomArchitecture> = new Set(['gemma2', 'gemma3', 'gpt-oss'])
export const recurrent: ReadonlySet<RandomArchitecture> = new Set(['mamba'])
export const randomWindow = 16

/** As random_models.py has them: from 2 to 16 bits. */
export const quantisations = [
  'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K', 'Q5_0', 'Q5_1', 'Q4_K', 'Q4_0', 'Q4_1', 'IQ4_NL', 'IQ4_XS', 'Q3_K', 'IQ3_S', 'Q2_K', 'IQ2_S',
] as const

/** Token ids are below this. */
export const randomVocabulary = 1024

export interface RandomModels {
  /** Path of the GGUF of an architecture. */
  of(architecture: RandomArchitecture): string
  /** Of a Llama in a quantisation. */
  quantised(quantisation: (typeof quantisations)[number]): string
  /** The same weights as 32-bit floats. */
  dequantised(quantisation: (typeof quantisations)[number]): string
  /** A Qwen3 that reranks, with a template for it. */
  readonly reranker: string
  /** The first of the three files of the model `of('llama')`. */
  readonly split: string
  /** Where all of them lie; nothing may be written there. */
  readonly folder: string
}

/**
 * Models of a megabyte or four with random weights and the first 1,024 tokens of the real test model's vocabulary, 512 tokens of context. They
 * are made once, and kept between test runs.
 */
export async function randomModels(vocabulary: string): Promise<RandomModels> {
  const programs = ['random_models.py', 'random_architectures.py', 'random_blocks.py'].map((name) => join(import.meta.dirname, name))
  const digest = createHash('sha256')
  for (const content of await Promise.all(programs.map((path) => readFile(path)))) digest.update(content)
  const folder = join(testCache(), `random-models-${digest.digest('hex').slice(0, 12)}`)
  await makeOnce(folder, async () => {
    await runProgram(await ggufPython(), ['-B', programs[0] ?? '', vocabulary, folder], { timeoutMs: 300_000 })
  })
  return {
    of: (architecture) => join(folder, `${architecture}.gguf`),
    quantised: (quantisation) => join(folder, `llama-${quantisation}.gguf`),
    dequantised: (quantisation) => join(folder, `llama-${quantisation}.32.gguf`),
    reranker: join(folder, 'qwen3-reranker.gguf'),
    split: join(folder, 'split-00001-of-00003.gguf'),
    folder,
  }
}

/** An engine over such a model: two slots, its whole context, one thread on the CPU. Throws EngineLoadError. */
export async function loadRandomModel(path: string, options: Partial<LlamaEngineOptions> = {}): Promise<GeneratingEngine> {
  const silent = pino({ level: 'silent' })
  const engine = await createLlamaEngine({ model: 'random', path, slots: 2, spareSlots: 0, contextLength: 0, batchSize: 64, threads: 1, gpu: 'off', ...options }, silent)
  if (engine.kind !== 'generating') throw new TypeError('not a model that generates')
  return engine
}

/** Tokens of the random models' vocabulary that look like none in particular; another `start` gives others. */
export function randomPrompt(length: number, start = 1): number[] {
  let state = start
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    // From 17: those before are control tokens.
    return 17 + ((state >>> 8) % (randomVocabulary - 17))
  })
}
