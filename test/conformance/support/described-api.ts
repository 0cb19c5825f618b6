import type { Platform } from '../../support/platform.ts'

interface Schema {
  properties: Record<string, object>
  required?: string[]
}

interface Operation {
  parameters?: { name: string; schema: object }[]
  requestBody?: { required?: boolean; content: { 'application/json': { schema: Schema } } }
}

export interface ApiDescription {
  paths: Record<string, Record<string, Operation>>
}

/** The served description, with the names of the models: of others there is nothing but 404 to be had. */
export async function describedApi({ url, model, embeddingModel }: Platform): Promise<ApiDescription> {
  const description = (await (await fetch(`${url}/openapi.json`)).json()) as ApiDescription
  for (const [path, operations] of Object.entries(description.paths)) {
    const names = { enum: [path.includes('embeddings') ? embeddingModel : model] }
    for (const { parameters = [], requestBody } of Object.values(operations)) {
      for (const parameter of parameters) if (parameter.name === 'model') parameter.schema = names
      const properties = requestBody?.content['application/json'].schema.properties
      if (properties?.['model'] !== undefined) properties['model'] = names
    }
  }
  return description
}

const sampling = ['temperature', 'top_p', 'top_k', 'min_p', 'presence_penalty', 'frequency_penalty', 'repeat_penalty', 'seed']

/** Parameters that go together with any value of each other. Those that are named first must be there. */
const independent: Record<string, { required: string[]; optional: string[] }> = {
  '/v1/chat/completions': { required: ['model', 'messages', 'max_tokens'], optional: [...sampling, 'n', 'stop', 'logprobs', 'stream', 'user', 'prompt_cache_key'] },
  '/v1/completions': { required: ['model', 'prompt', 'max_tokens'], optional: [...sampling, 'n', 'stop', 'logprobs', 'stream'] },
  '/v1/responses': { required: ['model', 'input', 'max_output_tokens'], optional: ['temperature', 'top_p', 'instructions', 'stream'] },
  '/v1/messages': { required: ['model', 'messages', 'max_tokens'], optional: ['temperature', 'top_p', 'top_k', 'stop_sequences', 'stream', 'system'] },
  '/v1/messages/count_tokens': { required: ['model', 'messages'], optional: ['system'] },
  '/tokenize': { required: ['model', 'content'], optional: ['add_special', 'with_pieces', 'return_token_strs', 'parse_special'] },
  '/apply-template': { required: ['model', 'messages'], optional: ['add_generation_prompt'] },
}

const text = { type: 'string', minLength: 1, maxLength: 20 }
const plain: Record<string, object> = {
  messages: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'object', properties: { role: { const: 'user' }, content: text }, required: ['role', 'content'], additionalProperties: false } },
  prompt: text,
  content: text,
  input: text,
  instructions: text,
  system: text,
  // Short ones, so that there are many.
  max_tokens: { type: 'integer', minimum: 1, maximum: 4 },
  max_output_tokens: { type: 'integer', minimum: 1, maximum: 4 },
  n: { type: 'integer', minimum: 1, maximum: 2 },
}

/** The part of the API of which every body is one that can be answered: of random ones of the whole, hardly any is. */
export function answerablePart({ paths, ...rest }: ApiDescription): ApiDescription {
  const part: ApiDescription['paths'] = {}
  for (const [path, { required, optional }] of Object.entries(independent)) {
    const operation = paths[path]?.['post']
    const schema = operation?.requestBody?.content['application/json'].schema
    if (operation === undefined || schema === undefined) throw new Error(`${path} is not described`)
    const properties = Object.fromEntries([...required, ...optional].map((name) => [name, plain[name] ?? known(schema, name, path)]))
    const narrowed = { ...schema, properties, required, additionalProperties: false }
    part[path] = { post: { ...operation, requestBody: { required: true, content: { 'application/json': { schema: narrowed } } } } }
  }
  return { ...rest, paths: part }
}

function known({ properties }: Schema, name: string, path: string): object {
  const schema = properties[name]
  if (schema === undefined) throw new Error(`${path} has no parameter ${name}`)
  return schema
}
