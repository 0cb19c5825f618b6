import { setTimeout as after } from 'node:timers/promises'
import { getLlama, InsufficientMemoryError, type Llama, LlamaLogLevel, type LlamaModel } from 'node-llama-cpp'
import type { Logger } from '../../shared/log.ts'
import { checkGgufHeader } from './gguf-header.ts'
import { EngineLoadError } from './load-error.ts'

/** Where the engine computes. */
export type GpuChoice = 'auto' | 'off' | 'metal' | 'cuda' | 'vulkan'

export interface LlamaLoadOptions {
  path: string
  threads: number
  gpu: GpuChoice
}

export interface LoadedModel {
  llama: Llama
  model: LlamaModel
}

/** Starts llama.cpp and loads the weights. Builds and downloads nothing. Throws EngineLoadError. */
export async function loadLlamaModel(
  { path, threads, gpu }: LlamaLoadOptions,
  log: Logger,
): Promise<LoadedModel> {
  await checkGgufHeader(path)
  const complaints: string[] = []
  let loading = true
  const llama = await startLlama(gpu, threads, (level, text) => {
    // While it loads, its lines tell what is wrong with the file. Later ones may quote what it works on.
    if (loading) complaints.push(text)
    else log.warn({ level }, 'llama.cpp complained')
  })
  try {
    const model = await llama.loadModel({ modelPath: path })
    loading = false
    return { llama, model }
  } catch (thrown) {
    // The lines come another way than the error, and may be a little behind it.
    await after(50)
    loading = false
    // llama stays as it is: after a failed load its dispose() may wait for ever (node-llama-cpp 3.22), and the process ends
    // anyway.
    throw explain(path, complaints.join('\n'), thrown)
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
