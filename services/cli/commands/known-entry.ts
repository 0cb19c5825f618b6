import type { Command } from 'commander'
import type { Config } from '../../shared/config/schema.ts'
import { suggest } from '../../shared/config/suggest.ts'
import { catalogueOf, type ModelEntry } from '../../shared/models/catalogue.ts'
import { misused } from './context.ts'

/** The catalogue's entry of this id; ends the command with an explanation when there is none. */
export function knownEntry(command: Command, config: Pick<Config, 'models'>, id: string): ModelEntry {
  const catalogue = catalogueOf(config.models)
  const entry = catalogue.get(id)
  if (entry !== undefined) return entry
  const near = suggest(id, [...catalogue.keys()])
  const advice = near === undefined ? `There are: ${[...catalogue.keys()].join(', ')}.` : `Did you mean "${near}"?`
  return misused(command, `the catalogue has no model of this id. ${advice}`)
}
