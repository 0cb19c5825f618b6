import { GgufError } from '../gguf/gguf-error.ts'
import type { MetadataValue } from '../gguf/gguf-header.ts'

/** A model's hyperparameters, by their names after that of the architecture. */
export interface Hyperparameters {
  readonly architecture: string
  /** Undefined when it is missing. Throws GgufError for what is no whole number from 0 on. */
  number(name: string): number | undefined
  /** As number. Throws GgufError when it is missing. */
  required(name: string): number
  /** One for each layer, where the file has one for all or one for each. */
  perLayer(name: string, layers: number): readonly number[] | undefined
  /** A list, when there is one. */
  list(name: string): readonly (number | bigint | boolean)[] | undefined
}

/** Throws GgufError. */
export function hyperparameters(metadata: ReadonlyMap<string, MetadataValue>, path: string): Hyperparameters {
  const architecture = metadata.get('general.architecture')
  if (typeof architecture !== 'string' || architecture === '') {
    throw new GgufError('file_damaged', `${path} does not name the architecture of its model.`)
  }
  const value = (name: string): MetadataValue | undefined => metadata.get(`${architecture}.${name}`)
  const checked = (name: string, found: unknown): number => {
    const number = typeof found === 'bigint' ? Number(found) : found
    if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number
    throw new GgufError('file_damaged', `${path} is damaged: its ${architecture}.${name} is no size.`)
  }
  const list = (name: string): readonly (number | bigint | boolean)[] | undefined => {
    const found = value(name)
    return typeof found === 'object' ? found.items : undefined
  }
  const number = (name: string): number | undefined => {
    const found = value(name)
    return found === undefined ? undefined : checked(name, found)
  }
  return {
    architecture,
    number,
    list,
    required(name) {
      const found = number(name)
      if (found === undefined) throw new GgufError('file_damaged', `${path} does not tell the ${architecture}.${name} of its model.`)
      return found
    },
    perLayer(name, layers) {
      const items = list(name)
      if (items === undefined) {
        const all = number(name)
        return all === undefined ? undefined : Array.from({ length: layers }, () => all)
      }
      if (items.length < layers) throw new GgufError('file_damaged', `${path} is damaged: its ${architecture}.${name} is not for all layers.`)
      return items.slice(0, layers).map((item) => checked(name, item))
    },
  }
}
