/** The keywords of JSON Schema that are known. */

/** Integers are numbers too: a set of types with `number` has `integer` as well. */
export type JsonType = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null'

/** Keywords that say something of a value, each with the type that it speaks of. */
export const assertions: ReadonlyMap<string, JsonType | 'any'> = new Map([
  ['type', 'any'],
  ['nullable', 'any'],
  ['enum', 'any'],
  ['const', 'any'],
  ['anyOf', 'any'],
  ['oneOf', 'any'],
  ['allOf', 'any'],
  ['$ref', 'any'],
  ['properties', 'object'],
  ['required', 'object'],
  ['additionalProperties', 'object'],
  ['propertyNames', 'object'],
  ['minProperties', 'object'],
  ['maxProperties', 'object'],
  ['items', 'array'],
  ['prefixItems', 'array'],
  ['minItems', 'array'],
  ['maxItems', 'array'],
  ['uniqueItems', 'array'],
  ['minLength', 'string'],
  ['maxLength', 'string'],
  ['pattern', 'string'],
  ['format', 'string'],
  ['minimum', 'number'],
  ['maximum', 'number'],
  ['exclusiveMinimum', 'number'],
  ['exclusiveMaximum', 'number'],
  ['multipleOf', 'number'],
])

/** Keywords that say nothing of a value. */
export const annotations: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'example',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$schema',
  '$id',
  '$comment',
  '$anchor',
  '$defs',
  'definitions',
  'discriminator',
  'contentMediaType',
  'contentEncoding',
  'contentSchema',
])
