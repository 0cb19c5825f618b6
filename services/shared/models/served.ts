import type { Config } from '../config/load.ts'
import { catalogueOf, type ModelEntry } from './catalogue.ts'

/** The catalogue entries of the models that the configuration serves; it has been checked that each id is one. */
export function servedModels(config: Pick<Config, 'models' | 'serve'>): ModelEntry[] {
  const catalogue = catalogueOf(config.models)
  return config.serve.flatMap((id) => catalogue.get(id) ?? [])
}
