import type { Llama } from 'node-llama-cpp'
import { type Budget, spendable } from '../../shared/fit/budget.ts'
import { choosePlan, fits, type Plan, planFor, type Wanted } from '../../shared/fit/choose.ts'
import { refusal } from '../../shared/fit/fit-text.ts'
import { canHold } from '../../shared/fit/kv-cache.ts'
import type { Model } from '../../shared/fit/memory-need.ts'
import { batchSizes, fullWindows } from '../../shared/fit/wanted.ts'
import { freeMemory } from '../../shared/machine/memory.ts'
import { type LlamaEngineOptions, longestEmbedded } from './llama-options.ts'
import { EngineLoadError } from './load-error.ts'

/** How a model is to be loaded so that it fits the memory. Throws EngineLoadError, with the numbers, when it can't be. */
export async function planLoad(model: Model, options: LlamaEngineOptions, llama: Llama): Promise<Plan> {
  const wanted = wantedOf(model, options, llama.gpu !== false)
  if (!canHold(model.shape, wanted.kvCacheType)) {
    throw new EngineLoadError('load_failed', `The KV cache of ${options.path} can't be of the type ${wanted.kvCacheType}: its rows are no whole blocks. Set inferenceWorker.kvCacheType to f16.`)
  }
  const { choosing, refusing } = await budgets(options, llama)
  const withoutSpare = { ...wanted, spareSlots: 0 }
  const plan = choosePlan(model, wanted, choosing) ?? choosePlan(model, withoutSpare, choosing) ?? asAsked(model, withoutSpare, refusing)
  if (plan === undefined) throw new EngineLoadError('out_of_memory', `${options.path} does not fit the memory: ${refusal(model, withoutSpare, refusing)}`)
  return plan
}

function wantedOf({ shape }: Model, { slots, spareSlots, contextLength, batchSize, gpuLayers, kvCacheType = 'f16', flashAttention = 'auto' }: LlamaEngineOptions, hasGpu: boolean): Wanted {
  const common = { kvCacheType, flashAttention: flashAttention !== 'off', fullWindows, batchSize: batchSizes(batchSize), gpuLayers: hasGpu ? gpuLayers : 0 }
  if (!shape.embeds) return { ...common, slots, spareSlots, contextLength }
  // One text after the other.
  const longest = Math.min(longestEmbedded, shape.trainedContext)
  return { ...common, slots: 1, spareSlots: 0, contextLength: Math.min(contextLength > 0 ? contextLength : longest, longest) }
}

/** What is left to us is chosen with something to spare; what was asked for is refused only if it can't be. */
async function budgets({ memory = {} }: LlamaEngineOptions, llama: Llama): Promise<{ choosing: Budget; refusing: Budget }> {
  const free = freeMemory()
  const freeGpu = llama.gpu === false ? undefined : (await llama.getVramState()).free
  const spare = spendable(free, freeGpu)
  return {
    choosing: { ram: memory.ram ?? spare.ram, gpu: freeGpu === undefined ? 0 : (memory.gpu ?? spare.gpu) },
    refusing: { ram: memory.ram ?? free.available, gpu: freeGpu === undefined ? 0 : (memory.gpu ?? freeGpu) },
  }
}

/** What was asked for wholly, when it fits without anything to spare. */
function asAsked(model: Model, wanted: Wanted, budget: Budget): Plan | undefined {
  if (wanted.contextLength === 0 || wanted.slots === 0) return undefined
  const everything = budget.gpu > 0 ? model.shape.layers.length + 1 : 0
  const contextLength = Math.min(wanted.contextLength, model.shape.trainedContext)
  const plan = planFor(model, wanted, { contextLength, slots: wanted.slots, gpuLayers: wanted.gpuLayers ?? everything })
  return fits(plan.needs, budget) ? plan : undefined
}
