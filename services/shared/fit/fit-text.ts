import { type Budget, sizeText } from './budget.ts'
import { alternatives, type Plan, planFor, type Wanted } from './choose.ts'
import type { Model, Need } from './memory-need.ts'

/** Why a model can't be loaded as it was asked for: the numbers, and what would fit. */
export function refusal(model: Model, wanted: Wanted, budget: Budget): string {
  const plan = nearest(model, wanted, budget)
  const { ram, gpu } = plan.needs
  const lacking = [...(ram.total > budget.ram ? [`${sizeText(ram.total)} of RAM (${needText(ram)})`] : []), ...(gpu.total > budget.gpu ? [`${sizeText(gpu.total)} of GPU memory (${needText(gpu)})`] : [])]
  const free = [...(ram.total > budget.ram ? [`${sizeText(budget.ram)} of RAM`] : []), ...(gpu.total > budget.gpu ? [`${sizeText(budget.gpu)} of GPU memory`] : [])]
  const would = alternatives(model, wanted, budget).map((other) => optionsText(other, plan))
  return [
    `${optionsText(plan)} needs ${lacking.join(' and ')}; ${free.join(' and ')} can be had.`,
    would.length === 0 ? 'Nothing of this model fits: it needs more memory, or a smaller quantisation of it.' : `What would fit: ${would.join('; or ')}.`,
  ].join(' ')
}

/** "4 slots (and a spare one) of 8192 tokens with kvCacheType q8_0, 20 layers on the GPU". `beside` another plan, it tells only the type that differs. */
export function optionsText({ options, spareSlots }: Plan, beside?: Plan): string {
  const { slots, contextLength, type, gpuLayers } = options
  const size = `${slots} ${slots === 1 ? 'slot' : 'slots'}${spareSlots > 0 ? ' (and a spare one)' : ''} of ${contextLength} tokens`
  const kind = beside === undefined || beside.options.type !== type ? ` with kvCacheType ${type}` : ''
  const gpu = gpuLayers > 0 || (beside !== undefined && beside.options.gpuLayers > 0) ? `, ${gpuLayers} layers on the GPU` : ''
  return `${size}${kind}${gpu}`
}

function needText({ weights, cache, compute, overhead }: Need): string {
  return `weights ${sizeText(weights)}, KV cache ${sizeText(cache)}, computing ${sizeText(compute)}, the program itself ${sizeText(overhead)}`
}

/** What was asked for, with the least of what could be chosen. */
function nearest(model: Model, wanted: Wanted, { gpu }: Budget): Plan {
  const contextLength = Math.min(wanted.contextLength > 0 ? wanted.contextLength : 256, model.shape.trainedContext)
  return planFor(model, wanted, { contextLength, slots: Math.max(1, wanted.slots), gpuLayers: wanted.gpuLayers ?? (gpu > 0 ? model.shape.layers.length + 1 : 0) })
}
