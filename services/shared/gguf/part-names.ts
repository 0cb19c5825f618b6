/** What the files of a model in parts are called, as llama.cpp has it: `<name>-00001-of-00003.gguf` and so on. It finds them by nothing else. */
const ending = /-(\d{5})-of-(\d{5})\.gguf$/

export interface PartName {
  /** From 1. */
  readonly number: number
  readonly total: number
}

/** What a file's name or path says of it; undefined when it is not that of a part. */
export function partName(path: string): PartName | undefined {
  const [, number, total] = ending.exec(path) ?? []
  return number === undefined || total === undefined ? undefined : { number: Number(number), total: Number(total) }
}

/** Names or paths of the parts after the first one, by its own, in their order; none when it is not called a part. */
export function partsAfter(first: string): string[] {
  const [written, , total] = ending.exec(first) ?? []
  if (written === undefined || total === undefined) return []
  const stem = first.slice(0, -written.length)
  return Array.from({ length: Math.max(0, Number(total) - 1) }, (_, index) => `${stem}-${String(index + 2).padStart(5, '0')}-of-${total}.gguf`)
}
