import type { Memory } from '../machine/memory.ts'

/** Bytes that a model may take. */
export interface Budget {
  readonly ram: number
  /** 0 without a GPU. */
  readonly gpu: number
}

const leastReserve = 256 * 2 ** 20
/** Of memory that others use, too, much is left; a container's own is there to be used. */
const shares = { machine: 0.75, group: 0.9 } as const
const gpuShare = 0.95

/** What may be chosen freely of what is free: the rest is for what comes later. */
export function spendable({ available, bound }: Memory, freeGpu: number | undefined): Budget {
  return { ram: Math.max(0, Math.min(available - leastReserve, available * shares[bound])), gpu: (freeGpu ?? 0) * gpuShare }
}

const powers = ['', 'K', 'M', 'G', 'T'] as const

/** Bytes of "24GiB", "512 MiB" or "2GB"; undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const [, number, letter = '', binary] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B$/i.exec(text.trim()) ?? []
  const power = powers.findIndex((candidate) => candidate === letter.toUpperCase())
  return number === undefined ? undefined : Math.round(Number(number) * (binary === '' ? 1000 : 1024) ** power)
}

/** "4.2 GiB", "312 MiB". */
export function sizeText(bytes: number): string {
  const mebibytes = bytes / 2 ** 20
  if (mebibytes >= 1023.5) return `${(mebibytes / 1024).toFixed(1)} GiB`
  return `${mebibytes < 9.95 && mebibytes > 0 ? mebibytes.toFixed(1) : mebibytes.toFixed(0)} MiB`
}
