import { type Command, Option } from 'commander'
import { type Budget, parseSize, sizeText, spendable } from '../../shared/fit/budget.ts'
import { choosePlan, fits, type Plan, planFor, type Wanted } from '../../shared/fit/choose.ts'
import { optionsText, refusal } from '../../shared/fit/fit-text.ts'
import { canHold, type KvCacheType, kvCacheTypes } from '../../shared/fit/kv-cache.ts'
import type { Model } from '../../shared/fit/memory-need.ts'
import { batchSizes, fullWindows } from '../../shared/fit/wanted.ts'
import { freeGpuMemory } from '../../shared/machine/gpu-memory.ts'
import { freeMemory } from '../../shared/machine/memory.ts'
import { misused } from './context.ts'
import type { ModelsContext } from './models.ts'
import { namedModel, readNamed } from './named-model.ts'
import { table } from './table.ts'

interface Flags {
  gpu?: string
  ram?: string
  context?: string
  slots?: string
  spareSlot: boolean
  gpuLayers?: string
  kvCacheType: KvCacheType
  flashAttention: 'on' | 'off'
  json?: true
}

/** Adds `models fit`. */
export function registerModelsFit(models: Command, context: ModelsContext): void {
  const { config, out } = context
  models
    .command('fit')
    .description('tell what memory a model takes, without loading it, and how it would be loaded (exit status 1 if it does not fit)')
    .argument('<model>', 'id of the catalogue, or path of a GGUF file (the first one of a model in parts)')
    .option('--gpu <size>', 'memory of the GPU, for example 24GiB; 0B: none (default: what is free here)')
    .option('--ram <size>', 'memory that the model may take, for example 16GiB (default: of what is free here, with something to spare)')
    .option('--context <tokens>', 'tokens for each slot (default: chosen)')
    .option('--slots <number>', 'requests that are decoded at once (default: chosen)')
    .option('--no-spare-slot', 'without the slot that is kept for a team that has none (setting inferenceWorker.spareSlot)')
    .option('--gpu-layers <number>', 'layers on the GPU (default: as many as fit)')
    .addOption(new Option('--kv-cache-type <type>', 'how keys and values are kept').choices(kvCacheTypes).default('f16'))
    .addOption(new Option('--flash-attention <on|off>', 'attention without its scores in memory').choices(['on', 'off']).default('on'))
    .option('--json', 'print JSON')
    .action(async (name: string, flags: Flags, command: Command) => {
      const wanted = readWanted(flags, command)
      const named = namedModel(name, config, command)
      const model = await readNamed(named, context, command)
      const path = named.path ?? ''
      if (!canHold(model.shape, wanted.kvCacheType)) misused(command, `the KV cache of this model can't be of the type ${wanted.kvCacheType}.`)
      const budget = await readBudget(flags, command)
      const asked = forModel(model, wanted)
      const choice = choosePlan(model, asked, budget)
      const plans = sizes(model, asked).map((size) => bestOf(model, asked, budget, size))
      const told = { model, budget, choice, plans, refused: choice === undefined ? refusal(model, asked, budget) : undefined }
      out.write(flags.json === true ? `${json(told, path)}\n` : page(told, path))
      if (choice === undefined) process.exitCode = 1
    })
}

function readWanted(flags: Flags, command: Command): Wanted {
  const number = (option: string, text: string | undefined, least: number): number | undefined => {
    if (text === undefined) return undefined
    if (!/^\d{1,8}$/.test(text) || Number(text) < least) misused(command, `${option} takes a whole number from ${least} on.`)
    return Number(text)
  }
  if (flags.flashAttention === 'off' && flags.kvCacheType !== 'f16') misused(command, 'without flash attention, --kv-cache-type can only be f16.')
  return {
    contextLength: number('--context', flags.context, 1) ?? 0,
    slots: number('--slots', flags.slots, 1) ?? 0,
    gpuLayers: number('--gpu-layers', flags.gpuLayers, 0),
    kvCacheType: flags.kvCacheType,
    flashAttention: flags.flashAttention === 'on',
    fullWindows,
    spareSlots: flags.spareSlot ? 1 : 0,
    batchSize: batchSizes(512),
  }
}

/** What makes vectors works on one text after the other. */
function forModel({ shape }: Model, wanted: Wanted): Wanted {
  return shape.embeds ? { ...wanted, slots: 1, spareSlots: 0 } : wanted
}

async function readBudget({ gpu, ram }: Flags, command: Command): Promise<Budget> {
  const size = (option: string, text: string): number => parseSize(text) ?? misused(command, `${option} takes a size, for example 24GiB.`)
  const given = { ram: ram === undefined ? undefined : size('--ram', ram), gpu: gpu === undefined ? undefined : size('--gpu', gpu) }
  const free = spendable(freeMemory(), given.gpu === undefined ? await freeGpuMemory() : undefined)
  return { ram: given.ram ?? free.ram, gpu: given.gpu ?? free.gpu }
}

/** Contexts and slots that are worth a line. */
function sizes({ shape }: Model, { contextLength, slots }: Wanted): { contextLength: number; slots: number }[] {
  const trained = shape.trainedContext
  const usual = [...new Set([2048, 8192, 32_768, 131_072, trained].filter((length) => length <= trained))].toSorted((one, other) => one - other)
  const contexts = contextLength > 0 ? [Math.min(contextLength, trained)] : usual
  return contexts.flatMap((length) => (slots > 0 ? [slots] : [1, 4, 16]).map((count) => ({ contextLength: length, slots: count })))
}

/** With as many layers on the GPU as it takes; if RAM does not hold the rest, with all of them. */
function bestOf(model: Model, wanted: Wanted, budget: Budget, size: { contextLength: number; slots: number }): Plan {
  const gpuLayers = wanted.gpuLayers ?? (budget.gpu > 0 ? model.shape.layers.length + 1 : 0)
  return choosePlan(model, { ...wanted, ...size }, budget) ?? planFor(model, wanted, { ...size, gpuLayers })
}

interface Told {
  model: Model
  budget: Budget
  choice: Plan | undefined
  plans: readonly Plan[]
  refused: string | undefined
}

function page({ model, budget, choice, plans, refused }: Told, path: string): string {
  const { shape, weights } = model
  const onGpu = budget.gpu > 0
  const titles = ['SLOTS', 'CONTEXT', ...(onGpu ? ['GPU LAYERS', 'GPU: WEIGHTS', 'KV CACHE', 'COMPUTING', 'OWN', 'TOTAL'] : []), onGpu ? 'RAM: WEIGHTS' : 'WEIGHTS', 'KV CACHE', 'COMPUTING', 'PROGRAM', 'TOTAL', 'FITS']
  const need = ({ weights: held, cache, compute, overhead, total }: Plan['needs']['ram']): string[] => [held, cache, compute, overhead, total].map(sizeText)
  const rows = plans.map((plan) => [
    String(plan.options.slots),
    String(plan.options.contextLength),
    ...(onGpu ? [`${plan.options.gpuLayers} of ${shape.layers.length + 1}`, ...need(plan.needs.gpu)] : []),
    ...need(plan.needs.ram),
    fits(plan.needs, budget) ? 'yes' : 'no',
  ])
  const [first] = plans
  const type = first?.options.type ?? 'f16'
  return [
    `${path}: ${shape.architecture}, ${shape.layers.length} layers, weights ${sizeText(weights.total)}, trained for ${shape.trainedContext} tokens; KV cache ${type}.\n`,
    `It may take ${sizeText(budget.ram)} of RAM${onGpu ? ` and ${sizeText(budget.gpu)} of GPU memory` : '; no GPU'}.\n\n`,
    table(titles, rows, ''),
    ...(shape.unusual ? ['\nThis architecture keeps its cache in a way that is not known here: the KV cache may be far off.\n'] : []),
    choice === undefined ? `\nIt does not fit: ${refused}\n` : `\nChoice: ${optionsText(choice)}: ${totals(choice)}.\n`,
  ].join('')
}

function totals({ needs: { ram, gpu } }: Plan): string {
  return `${sizeText(ram.total)} of RAM${gpu.total > 0 ? `, ${sizeText(gpu.total)} of GPU memory` : ''}`
}

function json({ model: { shape, weights }, budget, choice, plans, refused }: Told, path: string): string {
  const plain = ({ options: { slots, contextLength, gpuLayers, type }, needs }: Plan): object => ({
    slots,
    contextLength,
    gpuLayers,
    kvCacheType: type,
    ram: needs.ram,
    gpu: needs.gpu,
    fits: fits(needs, budget),
  })
  return JSON.stringify({
    path,
    architecture: shape.architecture,
    layers: shape.layers.length,
    weights: weights.total,
    trainedContext: shape.trainedContext,
    exact: !shape.unusual,
    budget,
    plans: plans.map(plain),
    choice: choice === undefined ? null : plain(choice),
    refused: refused ?? null,
  })
}
