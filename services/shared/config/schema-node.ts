/**
 * The part of JSON Schema (draft 2020-12) that the configuration's schema uses and check-value.ts understands. Two more
 * keywords: `unit` names what a number counts, and `format` is a name in formats.ts.
 */
export interface SchemaNode {
  readonly type?: string
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly unit?: string
  readonly format?: string
  readonly pattern?: string
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly items?: SchemaNode
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[] | undefined
  readonly additionalProperties?: boolean
}

/** Every keyword above. A test holds the schema against it, so that no keyword is written down and then ignored. */
export const understoodKeywords: readonly string[] = [
  'type',
  'title',
  'description',
  'default',
  'unit',
  'format',
  'pattern',
  'enum',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'items',
  'properties',
  'required',
  'additionalProperties',
]
