import type { SchemaNode } from './schema-node.ts'

/** One setting: a leaf of the configuration's schema. */
export interface Field {
  /** Its place, for example ['gateway', 'maxBodyBytes']. */
  readonly segments: readonly string[]
  /** The same as text: "gateway.maxBodyBytes". */
  readonly path: string
  /** Its environment variable: "INTRAMUROS_GATEWAY_MAX_BODY_BYTES"; undefined for what a variable can't hold (a list of maps). */
  readonly variable: string | undefined
  readonly schema: SchemaNode
}

/** All settings below a section of the schema, in its order. */
export function fieldsOf(section: SchemaNode, above: readonly string[] = []): Field[] {
  return Object.entries(section.properties ?? {}).flatMap(([key, schema]) => {
    const segments = [...above, key]
    if (isSection(schema)) return fieldsOf(schema, segments)
    const variable = schema.items?.type === 'object' ? undefined : variableOf(segments)
    return [{ segments, path: segments.join('.'), variable, schema }]
  })
}

export function isSection(schema: SchemaNode): boolean {
  return schema.type === 'object'
}

/** ['gateway', 'maxBodyBytes'] → "INTRAMUROS_GATEWAY_MAX_BODY_BYTES". */
function variableOf(segments: readonly string[]): string {
  const words = segments.flatMap((segment) => segment.split(/(?=[A-Z])/))
  return ['INTRAMUROS', ...words].join('_').toUpperCase()
}
