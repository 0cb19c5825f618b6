import { suggest } from '../config/suggest.ts'
import { secretPrefix } from './api-key.ts'
import { DirectoryError } from './directory-error.ts'

/** Throws unless `name` can be a team's name. */
export function checkTeamName(name: string): void {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) return
  throw new DirectoryError(
    `${quoted(name)} cannot be a team's name: 1 to 63 lower-case letters, digits and "-", beginning with a letter or digit.`,
  )
}

/** Throws unless every id is among `known`; without `known`, unless each could be a model's id. */
export function checkModels(models: readonly string[], known: readonly string[] | undefined): void {
  for (const model of models) {
    if (known === undefined ? /^[!-~]{1,128}$/.test(model) : known.includes(model)) continue
    if (known === undefined) throw new DirectoryError(`${quoted(model)} cannot be a model's id.`)
    throw new DirectoryError(`There is no model ${quoted(model)}${didYouMean(model, known)}; models: ${listOf(known)}.`)
  }
}

/** Throws unless `label` is a short text on one line that holds no API key. */
export function checkLabel(label: string): void {
  // A label is shown and logged; someone may paste the key itself.
  if (label.includes(secretPrefix)) throw new DirectoryError('A label must not hold an API key.')
  if (/^[^\p{C}\p{Zl}\p{Zp}]{1,64}$/u.test(label)) return
  throw new DirectoryError('A label is 1 to 64 characters on one line, without control characters.')
}

export function unknownTeam(name: string, teams: readonly string[]): DirectoryError {
  return new DirectoryError(`Team ${quoted(name)} does not exist${didYouMean(name, teams)}; teams: ${listOf(teams)}.`)
}

export function unknownKey(id: string): DirectoryError {
  if (id.includes(secretPrefix)) return new DirectoryError('That is an API key, not the id of one; ids begin with "key_".')
  return new DirectoryError(`There is no key with the id ${quoted(id)}.`)
}

/** A name as it was given, safe to print: escaped, cut, and never an API key. */
function quoted(name: string): string {
  if (name.includes(secretPrefix)) return 'an API key'
  const short = name.length > 64 ? `${name.slice(0, 64)}…` : name
  return JSON.stringify(short.replaceAll(/\p{C}/gu, '�'))
}

function didYouMean(name: string, candidates: readonly string[]): string {
  const near = suggest(name, candidates)
  return near === undefined ? '' : ` (did you mean "${near}"?)`
}

function listOf(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ')
}

/** A share is a number above 0; what is far from 1 is a mistake. */
export function checkWeight(weight: number): void {
  if (!(weight >= 0.001 && weight <= 1000)) throw new DirectoryError('The weight of a team is a number from 0.001 to 1000.')
}
