import Type, { type Static } from 'typebox'
import type { OutputFormat } from '../../../proto/gen/intramuros/v1/tokenizer.ts'
import { invalid } from './body.ts'
import { nullable } from './parameter.ts'

export const JsonObject = Type.Unsafe<Record<string, unknown>>({ type: 'object' })

const JsonSchemaFormat = Type.Object({
  name: nullable(Type.String({ maxLength: 64 }), 'A name for it; means nothing here.'),
  description: nullable(Type.String(), 'Means nothing here.'),
  schema: nullable(Type.Union([JsonObject, Type.Boolean()]), 'JSON Schema; absent: any JSON object.'),
  strict: nullable(Type.Boolean(), 'The schema is always kept to.'),
})

/** The parameters by which an answer is constrained, as OpenAI and llama-server have them. */
export const formatFields = {
  response_format: nullable(
    Type.Union([
      Type.Object({ type: Type.Literal('text') }),
      Type.Object({ type: Type.Literal('json_object'), schema: nullable(JsonObject, "llama-server's way of giving a schema.") }),
      Type.Object({ type: Type.Literal('json_schema'), json_schema: JsonSchemaFormat }),
    ]),
    'What the answer must be; guaranteed by constraining the sampler.',
  ),
  json_schema: nullable(JsonObject, "llama-server's way of giving a JSON Schema that the answer keeps to."),
  grammar: nullable(Type.String({ maxLength: 262_144 }), "A grammar in llama.cpp's GBNF that the answer keeps to."),
}

const FormatFields = Type.Object(formatFields)
type Fields = Static<typeof FormatFields>

/** Throws INVALID_ARGUMENT when more than one is asked for. */
export function formatOf(fields: Fields): OutputFormat | undefined {
  const [format, another] = formatsOf(fields)
  if (another !== undefined) {
    throw invalid({ param: another.param, message: `'${format?.param}' and '${another.param}' can't be combined: an answer keeps to one of them.` })
  }
  return format
}

function formatsOf({ response_format: format, json_schema: schema, grammar }: Fields): OutputFormat[] {
  const formats: OutputFormat[] = []
  if (format?.type === 'json_object') {
    formats.push(format.schema == null ? anyObject('response_format') : schemaFormat(format.schema, 'response_format.schema'))
  } else if (format?.type === 'json_schema') {
    const { schema: given } = format.json_schema
    formats.push(given == null ? anyObject('response_format') : schemaFormat(given, 'response_format.json_schema.schema'))
  }
  if (schema != null) formats.push(schemaFormat(schema, 'json_schema'))
  if (grammar != null && grammar !== '') formats.push({ format: { $case: 'grammar', value: grammar }, param: 'grammar' })
  return formats
}

function anyObject(param: string): OutputFormat {
  return { format: { $case: 'jsonObject', value: true }, param }
}

function schemaFormat(schema: unknown, param: string): OutputFormat {
  return { format: { $case: 'jsonSchema', value: JSON.stringify(schema) }, param }
}
