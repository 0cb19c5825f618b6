import Type from 'typebox'
import type { ModelDescription } from '../../../proto/gen/intramuros/v1/tokenizer.ts'
import type { ModelEntry } from '../../shared/models/catalogue.ts'

export const Model = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer({ description: 'When this gateway began to serve it, in seconds since 1970.' }),
  owned_by: Type.String(),
  context_length: Type.Integer({ description: 'Tokens of a prompt and its answer together.' }),
  max_model_len: Type.Integer({ description: "vLLM's name of `context_length`." }),
  capabilities: Type.Array(Type.Enum(['chat', 'completion', 'embedding', 'rerank', 'tools', 'reasoning', 'infill'])),
  architecture: Type.String(),
  parameters: Type.Union([Type.Integer(), Type.Null()]),
  quantisation: Type.Union([Type.String(), Type.Null()]),
  embedding_length: Type.Union([Type.Integer(), Type.Null()]),
  licence: Type.String({ description: 'SPDX identifier.' }),
  openness: Type.Object({ weights: Type.Boolean(), code: Type.Boolean(), data: Type.Boolean(), paper: Type.Boolean() }, { description: 'What of it is published.' }),
  digest: Type.Union([Type.String(), Type.Null()], { description: '"sha256:…" of the file (of a model in parts, of the first one), as the catalogue pins it; null where it does not.' }),
})

export const ModelList = Type.Object({ object: Type.Literal('list'), data: Type.Array(Model) })

/** https://platform.openai.com/docs/api-reference/models/object, and what else there is to know. */
export function modelObject(entry: ModelEntry, description: ModelDescription, created: number): object {
  const { chat, completion, embedding, rerank, tools, reasoning, infill } = description
  const capabilities = Object.entries({ chat, completion, embedding, rerank, tools, reasoning, infill }).filter(([, has]) => has)
  return {
    id: entry.id,
    object: 'model',
    created,
    owned_by: 'intramuros',
    context_length: description.contextLength,
    max_model_len: description.contextLength,
    capabilities: capabilities.map(([name]) => name),
    architecture: description.architecture,
    parameters: description.parameters === 0n ? null : Number(description.parameters),
    quantisation: description.quantisation === '' ? null : description.quantisation,
    embedding_length: description.embeddingLength === 0 ? null : description.embeddingLength,
    licence: entry.licence,
    openness: entry.openness,
    digest: entry.sha256 === undefined ? null : `sha256:${entry.sha256}`,
  }
}
