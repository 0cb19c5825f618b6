import type { TSchema } from 'typebox'
import { suggest } from '../../shared/config/suggest.ts'
import { ServiceError } from '../../shared/errors.ts'
import { branchesOf, subschema } from './problem.ts'

/** The 400 of a team that takes no unknown parameters: names the first, and what may have been meant. */
export function refuseUnknown(schema: TSchema, places: readonly string[]): ServiceError {
  const place = (places[0] ?? '').slice(0, 128)
  const dot = place.lastIndexOf('.')
  const parent = dot < 0 ? '' : place.slice(0, dot)
  const known = branchesOf(subschema(schema, pointerOf(parent))).flatMap(({ properties = {} }) => Object.keys(properties))
  const meant = suggest(place.slice(dot + 1), known)
  const hint = meant === undefined ? 'Leave it out.' : `Did you mean '${parent === '' ? '' : `${parent}.`}${meant}'?`
  const text = `'${place}' is not a parameter of this API, and your team takes no unknown ones. ${hint}`
  return new ServiceError('INVALID_ARGUMENT', 'unknown_parameter', text, { param: place })
}

/** "messages[0].content" as "/messages/0/content". */
function pointerOf(place: string): string {
  return place === '' ? '' : `/${place.replaceAll(/\[(\d+)\]/g, '.$1').replaceAll('.', '/')}`
}
