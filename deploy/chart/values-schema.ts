import { configJsonSchema, type JsonSchema } from '../../services/shared/config/json-schema.ts'
import { destination, ownOfPool } from './pool-schema.ts'
import type { Value } from './read-values.ts'

type Schema = Record<string, unknown>

/** The closed JSON Schema of the chart's values (draft 7, which Helm checks them by). */
export function valuesSchema(values: readonly Value[]): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart intramuros',
    type: 'object',
    additionalProperties: false,
    required: ['pools'],
    properties: {
      ...propertiesUnder([], values),
      // Helm's own, where the chart is part of another.
      global: { type: 'object' },
    },
  }
}

function propertiesUnder(path: readonly string[], values: readonly Value[], withDefaults = true): Schema {
  const own = values.filter((value) => value.path.length === path.length + 1 && path.every((name, index) => value.path[index] === name))
  return Object.fromEntries(own.map((value): [string, Schema] => [value.path.at(-1) ?? '', schemaOf(value, values, withDefaults)]))
}

function schemaOf(value: Value, values: readonly Value[], withDefaults: boolean): Schema {
  const { $pools: isPools, $destinations: isDestinations, $settings: settings, ...given } = value.schema
  const described = value.description === '' ? {} : { description: value.description }
  if (isPools === true) return { ...described, type: 'array', items: poolSchema(values) }
  if (isDestinations === true) return { ...described, type: 'array', items: destination }
  if (typeof settings === 'string') return { ...settingsSchema(settings), ...described }
  const shape = shapeOf(value, values, withDefaults)
  const preset = withDefaults && shape['type'] !== 'object' ? { default: value.preset } : {}
  return { ...described, ...shape, ...given, ...preset }
}

function shapeOf({ path, preset, schema }: Value, values: readonly Value[], withDefaults: boolean): Schema {
  if (Array.isArray(preset)) return { type: 'array' }
  if (typeof preset === 'object') {
    return schema['additionalProperties'] === undefined ? { type: 'object', additionalProperties: false, properties: propertiesUnder(path, values, withDefaults) } : { type: 'object' }
  }
  return { type: typeof preset === 'number' ? 'integer' : typeof preset }
}

/** An item of `pools`: all of poolDefaults, without its defaults, and what is its own. */
function poolSchema(values: readonly Value[]): Schema {
  return { type: 'object', additionalProperties: false, required: ownOfPool.required, properties: { ...ownOfPool.properties, ...propertiesUnder(['poolDefaults'], values, false) } }
}

/** Of a section of intramuros.yaml, or of all of it for "*": what the services refuse when they start, an install refuses. */
function settingsSchema(section: string): JsonSchema {
  const all = configJsonSchema()
  const { $schema: _dialect, $id: _id, title: _title, ...schema } = (section === '*' ? all : (all['properties'] as Record<string, JsonSchema>)[section]) ?? {}
  return withoutDefaults(schema)
}

/** Defaults are the services': an editor that filled them in would set them. */
function withoutDefaults(schema: JsonSchema): JsonSchema {
  const { default: _default, patternErrorMessage: _message, ...rest } = schema
  const { properties, items } = rest
  return {
    ...rest,
    ...(properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(properties as Record<string, JsonSchema>).map(([name, one]) => [name, withoutDefaults(one)])) }),
    ...(items === undefined ? {} : { items: withoutDefaults(items as JsonSchema) }),
  }
}
