import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { HttpClient } from './http-client.ts'
import type { ServedModel } from './server-kind.ts'
import { UpstreamError } from './upstream-error.ts'

/** An entry of /v1/models. */
export interface ListedModel {
  id: string
  owned_by?: string
  max_model_len?: number | null
  meta?: { n_vocab?: number; n_ctx?: number } | null
}

const List = Type.Object({
  data: Type.Array(
    Type.Object({
      id: Type.String(),
      owned_by: Type.Optional(Type.String()),
      max_model_len: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Null()])),
      meta: Type.Optional(
        Type.Union([Type.Object({ n_vocab: Type.Optional(Type.Integer({ minimum: 1 })), n_ctx: Type.Optional(Type.Integer({ minimum: 1 })) }), Type.Null()]),
      ),
    }),
    { minItems: 1, maxItems: 10_000 },
  ),
})

/** How long a question to a server that answers may take: an engine that computes is slow to answer others. */
export const questionMs = 10_000

/** Throws UpstreamError. */
export async function listModels(http: HttpClient, signal: AbortSignal): Promise<ListedModel[]> {
  const answer = await http.json({ method: 'GET', path: '/v1/models', signal }, questionMs)
  if (!Check(List, answer)) throw malformed()
  return answer.data
}

/** The one of that name; with an empty name, the only one. Throws UpstreamError not_found. */
export function pickModel(models: readonly ListedModel[], name: string): ListedModel {
  const found = name === '' ? (models.length === 1 ? models[0] : undefined) : models.find(({ id }) => id === name)
  if (found !== undefined) return found
  const known = models.slice(0, 10).map(({ id }) => id).join(', ')
  throw new UpstreamError('not_found', name === '' ? `The model's server serves several models (${known}): set inferenceWorker.openai.model to one of them.` : `The model's server serves no model "${name}"; it serves ${known}.`)
}

/** What a server's list says of the model of that name, where it must tell its context and nothing else. Throws UpstreamError. */
export async function describeListed(http: HttpClient, name: string, signal: AbortSignal): Promise<ServedModel> {
  const { id, max_model_len: contextLength } = pickModel(await listModels(http, signal), name)
  if (contextLength == null) throw malformed()
  return { name: id, contextLength, slots: undefined, vocabularySize: undefined }
}

export function malformed(): UpstreamError {
  return new UpstreamError('malformed', "The model's server answered in a shape that is not known here.")
}
