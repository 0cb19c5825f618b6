import type { Config } from '../config/load.ts'
import { exitStatus, FatalStartError } from '../supervision.ts'
import { catalogueOf, isUnpinned, type ModelEntry } from './catalogue.ts'
import { partsProblem } from './parts.ts'
import { lookFor } from './store.ts'

/** The catalogue entries of the models that the configuration serves; it has been checked that each id is one. */
export function servedModels(config: Pick<Config, 'models' | 'serve'>): ModelEntry[] {
  const catalogue = catalogueOf(config.models)
  return config.serve.flatMap((id) => catalogue.get(id) ?? [])
}

/** Where the checked file of a model lies; an encrypted one (isEncrypted) is checked by whoever decrypts it. Throws FatalStartError when it is not here: services fetch nothing. */
export async function modelPath(entry: ModelEntry, home: string): Promise<string> {
  if (isUnpinned(entry)) {
    throw new FatalStartError(`The catalogue's entry "${entry.id}" has no SHA-256 to check its file by: "intramuros models pull ${entry.id}" shows and pins it.`)
  }
  const problem = partsProblem(entry)
  if (problem !== undefined) throw new FatalStartError(`The catalogue's entry "${entry.id}" ${problem}.`)
  const found = await lookFor(entry, home)
  if (found.path !== undefined) return found.path
  throw new FatalStartError(`The file of the model "${entry.id}" is not here, or not the one that the catalogue names: ${found.reasons.join('; ')}.`, exitStatus.missingFile)
}
