import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { suggest } from '../../shared/config/suggest.ts'
import type { Config } from '../../shared/config/schema.ts'
import { GgufError } from '../../shared/gguf/gguf-error.ts'
import { EncryptedModelError } from '../../shared/models/encryption-error.ts'
import { FatalStartError } from '../../shared/supervision.ts'
import { readModel } from '../../shared/fit/read-model.ts'
import { catalogueOf, type ModelEntry } from '../../shared/models/catalogue.ts'
import { isEncrypted, placesOf } from '../../shared/models/store.ts'
import { misused } from './context.ts'
import type { ModelsContext } from './models.ts'

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

/**
 * What the file of a model says of it. An encrypted one of the catalogue is decrypted for it: read to its end, since its digest must be
 * the catalogue's, and what stands before the weights kept, in memory. Ends the program with status 1 and the reason when it can't be read.
 */
export async function readNamed({ entry, path }: NamedModel, { config, env, err }: Pick<ModelsContext, 'config' | 'env' | 'err'>, command: Command) {
  const failed = (reason: string): never => command.error(`error: ${reason}`, { exitCode: 1, code: 'intramuros.badModelFile' })
  try {
    if (path === undefined) return command.error(`error: the file of "${entry?.id}" is not here yet.`, { exitCode: 1, code: 'intramuros.noModelFile' })
    if (!isEncrypted(path)) return await readModel(path)
    if (entry === undefined) return failed(`${path} is encrypted. Name the model of the catalogue that it is, with its key in modelEncryption, or decrypt it first.`)
    const { createModelOpener } = await import('../../shared/models/open-model.ts')
    const warn = (_: unknown, text = ''): void => void err.write(`${text}\n`)
    const opened = await createModelOpener({ config: config(), env, log: { info: () => undefined, warn, error: warn } })(entry, 'vocabulary')
    try {
      const model = await readModel(opened.path)
      return { ...model, file: { ...model.file, files: model.file.files.map((file) => ({ ...file, path })) } }
    } finally {
      await opened.close()
    }
  } catch (thrown) {
    if (thrown instanceof GgufError || thrown instanceof FatalStartError || thrown instanceof EncryptedModelError) return failed(thrown.message)
    throw thrown
  }
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile()
}
