import { readFileSync } from 'node:fs'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { schemasFile } from './schemas.ts'

interface Schema {
  $ref?: string
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  const?: unknown
  definitions?: Record<string, Schema>
}

export type WireType = 'ChatCompletion' | 'ChatCompletionChunk' | 'Completion' | 'CreateEmbeddingResponse' | 'ErrorResponse' | 'Message' | 'MessageTokensCount' | 'Model' | 'RawMessageStreamEvent' | 'Response' | 'ResponseStreamEvent'

const told = 8
const compiled = new Map<WireType, ValidateFunction>()
let schemas: Record<string, Schema> | undefined

/** What is wrong with a value that should be of this type; nothing when it is. */
export function problemsOf(type: WireType, value: unknown): string[] {
  const validate = compiled.get(type) ?? compile(type)
  compiled.set(type, validate)
  if (validate(value)) return []
  return (validate.errors ?? []).slice(0, told).map((error) => `${type}${error.instancePath}: ${textOf(error)}`)
}

function compile(type: WireType): ValidateFunction {
  schemas ??= JSON.parse(readFileSync(schemasFile, 'utf8')) as Record<string, Schema>
  const schema = schemas[type]
  if (schema === undefined) throw new Error(`there is no schema of ${type}`)
  return new Ajv({ discriminator: true, strict: false, allErrors: true }).compile(discriminated(schema, schema.definitions ?? {}) as Schema)
}

/** Unions of objects that a `type` tells apart are checked by that, so that a problem is told of the one that was meant. */
function discriminated(schema: unknown, definitions: Record<string, Schema>): unknown {
  if (Array.isArray(schema)) return schema.map((item) => discriminated(item, definitions))
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, discriminated(value, definitions)])) as Schema
  const tags = (schema as Schema).anyOf?.map((branch) => tagOf(branch, definitions))
  if (tags === undefined || tags.length < 2 || tags.includes(undefined) || new Set(tags).size < tags.length) return inner
  const { anyOf: oneOf, ...rest } = inner
  return { ...rest, type: 'object', discriminator: { propertyName: 'type' }, required: ['type'], oneOf }
}

function tagOf({ $ref: ref, ...own }: Schema, definitions: Record<string, Schema>): unknown {
  const schema = ref === undefined ? own : definitions[decodeURIComponent(ref.slice('#/definitions/'.length))]
  return schema?.required?.includes('type') === true ? schema.properties?.['type']?.const : undefined
}

function textOf({ message, params }: ErrorObject): string {
  return `${message ?? 'is wrong'} ${JSON.stringify(params)}`
}
