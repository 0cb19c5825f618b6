import type { Budget } from './budget.ts'
import { canHold, type KvCacheType, kvCacheTypes } from './kv-cache.ts'
import { memoryNeeds, type Model, type Needs, type RunOptions } from './memory-need.ts'

/** What was asked for. */
export interface Wanted {
  /** Tokens for each slot; 0: chosen. More than the model was trained for is taken as that. */
  readonly contextLength: number
  /** 0: chosen. */
  readonly slots: number
  /** Slots besides, which take as much memory as the others. */
  readonly spareSlots: number
  /** Undefined: chosen. */
  readonly gpuLayers: number | undefined
  readonly kvCacheType: KvCacheType
  readonly flashAttention: boolean
  readonly fullWindows: boolean
  /** Most tokens in one decode call, with and without a GPU. */
  readonly batchSize: { readonly gpu: number; readonly cpu: number }
}

export interface Plan {
  readonly options: RunOptions
  /** Counted in what it needs, and not in the options. */
  readonly spareSlots: number
  readonly needs: Needs
}

/** Context that several slots are not to fall below: rather fewer slots. */
const comfortable = 4096
const least = 256
/** Slots that are tried when they may be chosen, most first. */
const slotsOnCpu = [4, 2, 1] as const
const slotsOnGpu = [16, 8, 4, 2, 1] as const
/** More than the usual slots only where each still has so long a context. */
const ample = 16_384

/** The plan that a model is to be loaded with; undefined when what was asked for does not fit. */
export function choosePlan(model: Model, wanted: Wanted, budget: Budget): Plan | undefined {
  const everything = model.shape.layers.length + 1
  const { gpuLayers } = wanted
  if (gpuLayers !== undefined) return firstFit(model, wanted, budget, gpuLayers)
  if (budget.gpu <= 0) return firstFit(model, wanted, budget, 0)
  const whole = firstFit(model, wanted, budget, everything)
  // Rather some layers in RAM than a context that is good for nothing.
  const smallest = smallestOf(model, wanted)
  if (whole !== undefined && whole.options.contextLength >= smallest.contextLength) return whole
  for (let layers = everything - 1; layers >= 0; layers--) {
    const plan = firstFit(model, { ...wanted, ...smallest }, budget, layers)
    if (plan !== undefined) return plan
  }
  return whole
}

/** The plan for exactly these numbers, whether it fits or not. */
export function planFor(model: Model, wanted: Wanted, { contextLength, slots, gpuLayers }: { contextLength: number; slots: number; gpuLayers: number }): Plan {
  const { kvCacheType: type, flashAttention, fullWindows, batchSize, spareSlots } = wanted
  const batch = gpuLayers > 0 ? batchSize.gpu : batchSize.cpu
  const options = { contextLength, slots, gpuLayers, type, flashAttention, fullWindows, batchSize: Math.max(batch, slots + spareSlots) }
  return { options, spareSlots, needs: memoryNeeds(model, { ...options, slots: slots + spareSlots }) }
}

export function fits({ ram, gpu }: Needs, budget: Budget): boolean {
  return ram.total <= budget.ram && gpu.total <= budget.gpu
}

function firstFit(model: Model, wanted: Wanted, budget: Budget, gpuLayers: number): Plan | undefined {
  for (const { contextLength, slots } of candidates(model, wanted, gpuLayers > 0)) {
    const plan = planFor(model, wanted, { contextLength, slots, gpuLayers })
    if (fits(plan.needs, budget)) return plan
  }
  return undefined
}

interface Size {
  contextLength: number
  slots: number
}

/** Best first. */
function candidates(model: Model, wanted: Wanted, onGpu: boolean): Size[] {
  const contexts = contextsOf(model, wanted)
  const slotCounts: readonly number[] = wanted.slots > 0 ? [wanted.slots] : onGpu ? slotsOnGpu : slotsOnCpu
  const enough = Math.min(comfortable, contexts[0] ?? 0)
  const plenty = Math.min(ample, contexts[0] ?? 0)
  return slotCounts.flatMap((slots) => {
    const floor = slots === 1 || wanted.slots > 0 ? 0 : slots > 4 ? plenty : enough
    return contexts.filter((contextLength) => contextLength >= floor).map((contextLength) => ({ contextLength, slots }))
  })
}

/** Longest first. */
function contextsOf({ shape }: Model, { contextLength }: Wanted): number[] {
  const trained = shape.trainedContext
  if (contextLength > 0) return [Math.min(contextLength, trained)]
  const contexts = [trained]
  for (let shorter = 2 ** Math.floor(Math.log2(Math.max(trained - 1, least))); shorter >= least; shorter /= 2) {
    contexts.push(...(shorter * 1.5 < trained ? [shorter * 1.5] : []), ...(shorter < trained ? [shorter] : []))
  }
  return contexts
}

function smallestOf(model: Model, wanted: Wanted): Size {
  const contexts = contextsOf(model, wanted)
  const contextLength = contexts.findLast((length) => length >= comfortable) ?? contexts[0] ?? comfortable
  return { contextLength, slots: wanted.slots > 0 ? wanted.slots : 1 }
}

/** What of the same model would fit instead, a few ways that each change one thing at first; best first. */
export function alternatives(model: Model, wanted: Wanted, budget: Budget): Plan[] {
  const found: Plan[] = []
  const add = (changed: Partial<Wanted>): void => {
    const plan = choosePlan(model, { ...wanted, gpuLayers: wanted.gpuLayers === undefined ? undefined : Math.min(wanted.gpuLayers, budget.gpu > 0 ? wanted.gpuLayers : 0), ...changed }, budget)
    if (plan !== undefined && !found.some(({ options }) => same(options, plan.options))) found.push(plan)
  }
  const smaller = wanted.flashAttention ? kvCacheTypes.slice(kvCacheTypes.indexOf(wanted.kvCacheType) + 1).filter((type) => canHold(model.shape, type)) : []
  for (const kvCacheType of smaller) add({ kvCacheType })
  if (wanted.gpuLayers !== undefined) add({ gpuLayers: undefined })
  add({ contextLength: 0 })
  for (let slots = Math.floor(wanted.slots / 2); slots >= 1 && found.length < 4; slots = Math.floor(slots / 2)) add({ slots })
  add({ contextLength: 0, slots: 0, gpuLayers: undefined })
  for (const kvCacheType of smaller) add({ kvCacheType, contextLength: 0, slots: 0, gpuLayers: undefined })
  return found.slice(0, 3)
}

function same(one: RunOptions, other: RunOptions): boolean {
  return one.contextLength === other.contextLength && one.slots === other.slots && one.gpuLayers === other.gpuLayers && one.type === other.type
}
