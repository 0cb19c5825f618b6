import type { LlamaContext } from 'node-llama-cpp'
import { EngineLoadError } from './load-error.ts'

/**
 * Makes a context sample one token after the other. node-llama-cpp before 3.22 samples the tokens of a batch on several
 * threads at once, without a lock, though llama.cpp puts the logits of a batch in their order only when they are first read:
 * threads that read them together spoil them, and a request may get the token of another. No public option prevents it, so
 * the native method is wrapped. Not needed from 3.22 on. Throws EngineLoadError when the method is not where it is known to
 * be.
 */
export function serialiseSampling(context: LlamaContext): void {
  const native: unknown = Reflect.get(context, '_ctx')
  if (typeof native !== 'object' || native === null || !('sampleToken' in native) || typeof native.sampleToken !== 'function') {
    throw new EngineLoadError(
      'load_failed',
      'This version of node-llama-cpp is not known here: it can not be made to sample one token at a time.',
    )
  }
  Object.defineProperty(native, 'sampleToken', {
    value: oneAtATime(native.sampleToken.bind(native) as (...parameters: unknown[]) => Promise<unknown>),
  })
}

/** Calls wait for the end of those before, whether they succeeded or not. */
export function oneAtATime<Parameters extends unknown[], Result>(
  call: (...parameters: Parameters) => Promise<Result>,
): (...parameters: Parameters) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve()
  return (...parameters) => {
    const result = last.then(() => call(...parameters))
    last = result.catch(() => undefined)
    return result
  }
}
