import type { Platform } from '../../support/platform.ts'

interface Parameter {
  description?: string
  'x-support'?: string
}

interface Document {
  paths: Record<string, { post?: { requestBody: { content: { 'application/json': { schema: { properties: Record<string, Parameter> } } } } } }>
}

/** Names of the parameters that this endpoint is said to support: neither refused nor ignored. */
export async function supportedParameters({ url }: Platform, path: string): Promise<string[]> {
  const response = await fetch(`${url}/openapi.json`)
  const { paths } = (await response.json()) as Document
  const properties = paths[path]?.post?.requestBody.content['application/json'].schema.properties ?? {}
  const isSupported = ({ description = '', 'x-support': support = 'supported' }: Parameter): boolean => support === 'supported' && !description.startsWith('Refused')
  return Object.keys(properties).filter((name) => isSupported(properties[name] ?? {}))
}
