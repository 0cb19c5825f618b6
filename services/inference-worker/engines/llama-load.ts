import { setTimeout as after } from 'node:timers/promises'
import { getLlama, InsufficientMemoryError, type Llama, LlamaLogLevel, type LlamaModel } from 'node-llama-cpp'
import type { Logger } from '../../shared/log.ts'
import type { Plan } from '../../shared/fit/choose.ts'
import type { Model } from '../../shared/fit/memory-need.ts'
import { modelOf } from '../../shared/fit/read-model.ts'
import { sizeText } from '../../shared/fit/budget.ts'
import { optionsText } from '../../shared/fit/fit-text.ts'
import { GgufError } from '../../shared/gguf/gguf-error.ts'
import { hasVocabulary, type ModelFile, readModelFile } from '../../shared/gguf/model-file.ts'
import type { GpuChoice, LlamaEngineOptions } from './llama-options.ts'
import { EngineLoadError } from './load-error.ts'
import { planLoad } from './load-plan.ts'

export interface LoadedModel {
  llama: Llama
  model: LlamaModel
  /** What it was loaded for. */
  plan: Plan
}

/** node-llama-cpp's names. */
const cacheTypes = { f16: 'F16', q8_0: 'Q8_0', q4_0: 'Q4_0' } as const
const flashAttentions = { auto: 'auto', on: true, off: false } as const

/**
 * Starts llama.cpp, decides how the model fits the memory, and loads the weights. Builds and downloads nothing. Throws
 * EngineLoadError.
 */
export async function loadLlamaModel(options: LlamaEngineOptions, log: Logger): Promise<LoadedModel> {
  const { path, threads, gpu, flashAttention = 'auto' } = options
  // Its parsers allocate what a file asks for, and tell little of what is wrong.
  const described = await describe(path)
  const complaints: string[] = []
  let loading = true
  const llama = await startLlama(gpu, threads, (level, text) => {
    // While it loads, its lines tell what is wrong with the file. Later ones may quote what it works on.
    if (loading) complaints.push(text)
    else log.warn({ level }, 'llama.cpp complained')
  })
  const unknown = described instanceof EngineLoadError ? described : undefined
  const plan = described instanceof EngineLoadError ? undefined : await planLoad(described, options, llama)
  const { gpuLayers = 0, type = 'f16', fullWindows = false } = plan?.options ?? {}
  if (plan !== undefined) {
    const { ram, gpu: onGpu } = plan.needs
    log.info({ plan: optionsText(plan), ram: sizeText(ram.total), gpu: sizeText(onGpu.total) }, 'loading the model')
  }
  try {
    const model = await llama.loadModel({
      modelPath: path,
      gpuLayers,
      defaultContextFlashAttention: flashAttentions[flashAttention],
      defaultContextSwaFullCache: fullWindows,
      experimentalDefaultContextKvCacheKeyType: cacheTypes[type],
      experimentalDefaultContextKvCacheValueType: cacheTypes[type],
    })
    loading = false
    if (plan !== undefined) return { llama, model, plan }
  } catch (thrown) {
    // The lines come another way than the error, and may be a little behind it.
    await after(50)
    loading = false
    // llama stays as it is: after a failed load its dispose() may wait for ever (node-llama-cpp 3.22), and the process ends
    // anyway.
    const explained = explain(path, complaints.join('\n'), thrown)
    // Where llama.cpp tells nothing in particular, what was found missing in the file is the reason.
    throw explained.reason === 'load_failed' && unknown !== undefined ? unknown : explained
  }
  throw unknown ?? new EngineLoadError('load_failed', `llama.cpp can't load ${path}.`)
}

/**
 * What the file says of its model. An error, rather than throwing it, when the file is sound and only its model can't be made out:
 * then llama.cpp knows better what it is. Throws EngineLoadError.
 */
async function describe(path: string): Promise<Model | EngineLoadError> {
  let file: ModelFile | undefined
  try {
    file = await readModelFile(path)
    if (!hasVocabulary(file)) throw new EngineLoadError('unsupported_vocabulary', `${path} has no vocabulary.`)
    return modelOf(file)
  } catch (thrown) {
    if (!(thrown instanceof GgufError)) throw thrown
    const error = new EngineLoadError(thrown.reason, thrown.message, thrown)
    if (file === undefined) throw error
    return error
  }
}

async function startLlama(
  gpu: GpuChoice,
  maxThreads: number,
  logger: (level: LlamaLogLevel, text: string) => void,
): Promise<Llama> {
  const wanted = gpu === 'off' ? false : gpu
  let llama: Llama
  try {
    llama = await getLlama({
      gpu: wanted,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      maxThreads,
      logLevel: LlamaLogLevel.warn,
      logger,
    })
  } catch (thrown) {
    if (gpu === 'auto' || gpu === 'off')
      throw new EngineLoadError('load_failed', 'There is no build of llama.cpp for this machine.', thrown)
    throw new EngineLoadError('gpu_unavailable', `${gpu} can't be used on this machine. Try gpu: auto.`, thrown)
  }
  if (gpu !== 'auto' && llama.gpu !== wanted)
    throw new EngineLoadError('gpu_unavailable', `${gpu} can't be used on this machine. Try gpu: auto.`)
  return llama
}

/** llama.cpp tells its reasons only in its log; their words are those of its llama-model-loader.cpp and gguf.cpp. */
function explain(path: string, complaints: string, cause: unknown): EngineLoadError {
  if (/unknown model architecture/.test(complaints)) {
    return new EngineLoadError(
      'unsupported_architecture',
      `${path} has a model architecture that this version of llama.cpp does not know.`,
      cause,
    )
  }
  if (/not within the file bounds|corrupted or incomplete/.test(complaints)) {
    return new EngineLoadError(
      'file_damaged',
      `${path} is cut short or damaged: not all of its tensors are in the file. Fetch it again.`,
      cause,
    )
  }
  if (
    /unable to allocate|failed to allocate|out of memory|cudaMalloc failed/i.test(complaints) ||
    cause instanceof InsufficientMemoryError
  ) {
    return new EngineLoadError('out_of_memory', `There is not enough memory to load ${path}.`, cause)
  }
  if (
    /gguf_init|failed to read|key .* (is empty|not found)/.test(complaints) ||
    !(cause instanceof Error && cause.message === 'Failed to load model')
  ) {
    return new EngineLoadError(
      'file_damaged',
      `${path} is cut short or damaged: its metadata can't be read. Fetch it again.`,
      cause,
    )
  }
  const why = /error loading model: (.+)/.exec(complaints)?.[1]?.slice(0, 300)
  return new EngineLoadError('load_failed', `llama.cpp can't load ${path}${why === undefined ? '' : `: ${why}`}.`, cause)
}
