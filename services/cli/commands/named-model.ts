import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { suggest } from '../../shared/config/suggest.ts'
import type { Config } from '../../shared/config/schema.ts'
import { GgufError } from '../../shared/gguf/gguf-error.ts'
import { catalogueOf, type ModelEntry } from '../../shared/models/catalogue.ts'
import { placesOf } from '../../shared/models/store.ts'
import { misused } from './context.ts'

/** What `<model>` on the command line means. */
export interface NamedModel {
  /** Undefined for a file that is in no catalogue. */
  entry: ModelEntry | undefined
  /** Its GGUF file; undefined when it is not here. */
  path: string | undefined
}

/** A file, or a model of the catalogue. The configuration is only read for the latter. Ends the program for what is neither. */
export function namedModel(name: string, config: () => Config, command: Command): NamedModel {
  const file = resolve(name)
  if (isFile(file)) return { entry: undefined, path: file }
  const { home, models } = config()
  const catalogue = catalogueOf(models)
  const entry = catalogue.get(name)
  if (entry !== undefined) return { entry, path: placesOf(entry, home).find(isFile) }
  const known = [...catalogue.keys()]
  const advice = suggest(name, known)
  return misused(command, `there is no model and no file "${name}". ${advice === undefined ? `Models: ${known.join(', ')}.` : `Did you mean "${advice}"?`}`)
}

/** Path of its file. Ends the program with status 1 when it is not here. */
export function fileOf({ entry, path }: NamedModel, command: Command): string {
  return path ?? command.error(`error: the file of "${entry?.id}" is not here yet.`, { exitCode: 1, code: 'intramuros.noModelFile' })
}

/** Runs what reads a GGUF file, and ends the program with status 1 and its reason when that can't be read. */
export async function reading<T>(command: Command, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (thrown) {
    if (thrown instanceof GgufError) return command.error(`error: ${thrown.message}`, { exitCode: 1, code: 'intramuros.badModelFile' })
    throw thrown
  }
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile()
}
