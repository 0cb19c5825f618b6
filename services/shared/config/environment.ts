import type { Problem } from './config-error.ts'
import type { Field } from './fields.ts'
import { modelKeyVariable } from './formats.ts'
import type { Layer, Setting } from './layer.ts'
import type { SchemaNode } from './schema-node.ts'
import { suggest } from './suggest.ts'

const prefix = 'INTRAMUROS_'
/**
 * Variables with our prefix that are no settings: the two that say where to look, the key that the printed client examples use,
 * the one that may hold the key of encrypted models, and the gateway's second switch of audit.onFailure.
 */
const reserved = new Set(['INTRAMUROS_HOME', 'INTRAMUROS_CONFIG', 'INTRAMUROS_API_KEY', modelKeyVariable, 'INTRAMUROS_AUDIT_ALLOW_UNRECORDED'])
/** Variables of the test suite begin so. */
const testPrefix = 'INTRAMUROS_TEST_'

export type Environment = Readonly<Record<string, string | undefined>>

/** The settings that environment variables hold. An empty variable counts as unset; lists are comma-separated. */
export function readEnvironment(env: Environment, fields: readonly Field[]): Layer {
  const fieldOf = new Map(fields.flatMap((field) => (field.variable === undefined ? [] : [[field.variable, field]])))
  const settings = new Map<string, Setting>()
  const problems: Problem[] = []
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(prefix) || text === undefined || text === '' || reserved.has(name) || name.startsWith(testPrefix))
      continue
    const field = fieldOf.get(name)
    if (field === undefined) problems.push(unknownVariable(name, [...fieldOf.keys(), ...reserved], fields))
    else settings.set(field.path, { field, value: fromText(field.schema, text), originOf: () => name })
  }
  return { settings, problems }
}

function unknownVariable(name: string, known: readonly string[], fields: readonly Field[]): Problem {
  const inFile = fields.find(({ variable, path }) => variable === undefined && `${prefix}${path.toUpperCase()}` === name)
  if (inFile !== undefined) {
    return {
      path: inFile.path,
      source: name,
      found: 'a variable',
      allowed: 'only in the configuration file, because it is a list of maps',
    }
  }
  const suggestion = suggest(
    name.slice(prefix.length),
    known.map((variable) => variable.slice(prefix.length)),
  )
  return {
    path: '',
    source: name,
    found: 'an unknown variable',
    allowed: `${prefix} with the name of a setting`,
    suggestion: suggestion === undefined ? undefined : `Did you mean ${prefix}${suggestion}?`,
  }
}

/** Text as a value of the schema's type; the text itself when it isn't one, for the check to report. */
export function fromText(schema: SchemaNode, text: string): unknown {
  const trimmed = text.trim()
  switch (schema.type) {
    case 'integer':
      return /^[+-]?\d+$/.test(trimmed) ? Number(trimmed) : text
    case 'boolean':
      return trimmed === 'true' || trimmed === 'false' ? trimmed === 'true' : text
    case 'array': {
      const parts = trimmed.split(',').map((part) => part.trim())
      return parts.filter((part) => part !== '').map((part) => fromText(schema.items ?? {}, part))
    }
    default:
      return trimmed
  }
}
