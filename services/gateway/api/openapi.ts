import type { TSchema } from 'typebox'
import { packageVersion } from '../../shared/supervision.ts'
import { type DescribedOperation, describedOperations } from './described-operations.ts'
import { marksOf } from './parameter.ts'

let document: string | undefined

/** The OpenAPI 3.1 document of what is served, as JSON, made from the schemas that validate requests. */
export function openApiDocument(): string {
  document ??= JSON.stringify(describe())
  return document
}

function describe(): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of describedOperations) paths[operation.path] = { [operation.method]: operationObject(operation) }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Intramuros',
      version: packageVersion(),
      description: 'Unknown parameters are ignored and named in the header x-intramuros-ignored, or refused, as the team has it; see docs/api.md.',
    },
    security: [{ bearer: [] }, { apiKey: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key of a team.' },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: "Anthropic's way of sending it." },
      },
    },
  }
}

/** Statuses besides 200, and when they come. */
const failures: Record<string, string> = {
  400: 'The request is wrong; `param` tells where.',
  401: 'The API key is missing or not valid.',
  404: 'There is no such model or receipt, or it is not one for this team.',
  405: 'The path does not take this method.',
  408: 'The request came too slowly.',
  413: 'The body is too large.',
  415: 'The body is compressed.',
  429: 'Too many requests wait; Retry-After tells when to try again.',
  431: 'The headers are too large.',
  500: 'Something failed inside the service.',
  503: 'The model or a service is not available; Retry-After tells when to try again.',
  504: 'The request took longer than this server allows.',
}

function operationObject({ method, path, summary, body, response, plain, event, error }: DescribedOperation): object {
  const inPath = /\{(\w+)\}/.exec(path)?.[1]
  const responses: Record<string, object> = {
    200: {
      description: 'The answer.',
      headers: {
        'x-request-id': { schema: { type: 'string' }, description: "Joins an answer and the services' logs." },
        ...(body === undefined ? {} : { 'x-intramuros-record': { schema: { type: 'integer', minimum: 0 }, description: 'Place in the audit log of the record that the request began with.' } }),
      },
      content: {
        [plain === true ? 'text/plain' : 'application/json']: { schema: response },
        ...(event === undefined ? {} : { 'text/event-stream': { schema: serverSentEvent(event, path.endsWith('completions')) } }),
      },
    },
  }
  for (const [status, description] of Object.entries(failures)) {
    // Only what has a path parameter or a body can name a model that isn't there.
    if (status === '404' && body === undefined && !path.includes('{')) continue
    responses[status] = { description, content: { 'application/json': { schema: error } } }
  }
  return {
    operationId: `${method}${path.replaceAll(/[{}]/g, '').replaceAll(/[/_-]+(\w)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    ...(inPath === undefined ? {} : { parameters: [{ name: inPath, in: 'path', required: true, schema: { type: 'string', minLength: 1 } }] }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: bodySchema(body) } } } }),
    responses,
  }
}

/** One event of a stream: its data is JSON. OpenAI's older APIs end with one that says "[DONE]". */
function serverSentEvent(event: TSchema, endsWithDone: boolean): object {
  const shape = (data: object): object => ({ type: 'object', properties: { event: { type: 'string' }, data }, required: ['data'] })
  const json = shape({ type: 'string', contentMediaType: 'application/json', contentSchema: event })
  return endsWithDone ? { anyOf: [shape({ const: '[DONE]' }), json] } : json
}

/** A body's schema as others read it: a refused parameter takes its neutral values and nothing else. */
function bodySchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(bodySchema)
  if (typeof schema !== 'object' || schema === null) return schema
  const { 'x-support': support, 'x-neutral': neutral } = marksOf(schema)
  const { description } = schema as { description?: string }
  if (support === 'refused') return { enum: neutral, description: `Refused with any other value: ${description ?? ''}` }
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([name]) => name !== 'x-neutral')
      .map(([name, inner]) => [name, name === 'enum' || name === 'const' || name === 'required' ? inner : bodySchema(inner)]),
  )
}
