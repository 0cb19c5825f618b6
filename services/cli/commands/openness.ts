import type { ModelEntry } from '../../shared/models/catalogue.ts'

type Openness = ModelEntry['openness']

const parts: readonly (readonly [keyof Openness, string])[] = [
  ['weights', 'weights'],
  ['code', 'training code'],
  ['data', 'training data'],
  ['paper', 'paper'],
]

/**
 * How open a model is, in words, by what of it is published and under which licence. What calls itself open and is not is
 * called so: the Open Source Initiative's definition (OSAID 1.0) asks for weights, code, what its data are, and free terms for all of
 * it. Undefined: nobody has said.
 */
export function opennessGrade(entry: Pick<ModelEntry, 'openness' | 'licence'> | undefined): string {
  if (entry === undefined) return 'unknown'
  const { openness, licence } = entry
  if (!openness.weights) return 'closed'
  if (!openness.code && !openness.data) return "open weights only: not open source by OSI's OSAID"
  if (!openness.code) return "open weights and data, without the code: not open source by OSI's OSAID"
  if (!openness.data) return "open weights and code, without the data: not open source by OSI's OSAID unless they are described well"
  if (licence.startsWith('LicenseRef-')) return "all published, under terms of its own: not open source by OSI's OSAID unless these are free"
  return openness.paper ? 'open: weights, code, data and paper' : 'open: weights, code and data'
}

/** "weights, paper; not training code, training data". */
export function opennessParts(openness: Openness): string {
  const named = (published: boolean): string => parts.flatMap(([key, text]) => (openness[key] === published ? [text] : [])).join(', ')
  const [yes, no] = [named(true), named(false)]
  return `${yes === '' ? 'nothing' : yes}${no === '' ? '' : `; not ${no}`}`
}
