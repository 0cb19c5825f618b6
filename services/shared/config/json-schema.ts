import { formats } from './formats.ts'
import { configSchema } from './schema.ts'
import type { SchemaNode } from './schema-node.ts'
import { writeOrCheck } from './write-or-check.ts'

export type JsonSchema = Record<string, unknown>

/**
 * The configuration's schema for editors, as JSON Schema draft 2020-12. Formats become patterns, which editors check;
 * `patternErrorMessage` is what Visual Studio Code and yaml-language-server show for them.
 */
export function configJsonSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'urn:intramuros:configuration',
    ...nodeForEditors(configSchema, [], true),
    title: 'Intramuros configuration',
  }
}

function nodeForEditors(node: SchemaNode, segments: readonly string[], inSections: boolean): JsonSchema {
  const { properties, items, format, unit, description, default: preset, ...rest } = node
  const about = [description, unit === undefined ? undefined : `Unit: ${unit}.`].filter((text) => text !== undefined).join(' ')
  const isSection = inSections && properties !== undefined
  return {
    ...(segments.length === 0 ? {} : { title: segments.join('.') }),
    ...rest,
    ...(about === '' ? {} : { description: about }),
    ...(preset === undefined ? {} : { default: preset }),
    ...(format === undefined ? {} : patternOf(format, preset === '')),
    ...(items === undefined ? {} : { items: nodeForEditors(items, [], false) }),
    // A section whose lines are all commented out is null.
    ...(isSection ? { type: ['object', 'null'] } : {}),
    ...(properties === undefined ? {} : { properties: mapProperties(properties, segments, inSections) }),
  }
}

function mapProperties(
  properties: Readonly<Record<string, SchemaNode>>,
  segments: readonly string[],
  inSections: boolean,
): JsonSchema {
  return Object.fromEntries(
    Object.entries(properties).map(([key, node]) => [
      key,
      nodeForEditors(node, inSections ? [...segments, key] : [], inSections),
    ]),
  )
}

function patternOf(format: string, mayBeEmpty: boolean): JsonSchema {
  const known = formats[format]
  if (known === undefined) throw new Error(`no such format: ${format}`)
  return { pattern: mayBeEmpty ? `^$|${known.pattern}` : known.pattern, patternErrorMessage: `Must be ${known.allowed}.` }
}

if (import.meta.main) {
  const text = `${JSON.stringify(configJsonSchema(), undefined, 2)}\n`
  writeOrCheck(new URL('intramuros.schema.json', import.meta.url), text, process.argv.slice(2))
}
