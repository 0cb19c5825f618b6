import type { Platform } from '../../support/platform.ts'

interface Schema {
  description?: string
  'x-support'?: string
  properties?: Record<string, Schema>
  items?: Schema
  anyOf?: Schema[]
}

interface Document {
  paths: Record<string, { post?: { requestBody: { content: { 'application/json': { schema: Schema } } } } }>
}

/** Places of the parameters that this endpoint is said to support, neither refused nor ignored, such as "messages[].content". */
export async function supportedPlaces({ url }: Platform, path: string): Promise<string[]> {
  const response = await fetch(`${url}/openapi.json`)
  const { paths } = (await response.json()) as Document
  const schema = paths[path]?.post?.requestBody.content['application/json'].schema
  if (schema === undefined) throw new Error(`${path} is not described`)
  return [...new Set(placesIn(schema, ''))]
}

/** Those of them that are parameters themselves, and not in another. */
export async function supportedParameters(platform: Platform, path: string): Promise<string[]> {
  return (await supportedPlaces(platform, path)).filter((place) => !/[.[]/.test(place))
}

function placesIn({ anyOf, items, properties = {} }: Schema, place: string): string[] {
  if (anyOf !== undefined) return anyOf.flatMap((branch) => placesIn(branch, place))
  if (items !== undefined) return placesIn(items, `${place}[]`)
  return Object.entries(properties).flatMap(([name, inner]) => {
    const its = place === '' ? name : `${place}.${name}`
    return isSupported(inner) ? [its, ...placesIn(inner, its)] : []
  })
}

function isSupported({ description = '', 'x-support': support = 'supported' }: Schema): boolean {
  return support === 'supported' && !description.startsWith('Refused')
}
