import { Type } from 'typebox'
import { Check } from 'typebox/value'
import type { HttpClient } from './http-client.ts'
import { malformed } from './model-list.ts'
import type { EmbeddingVocabulary } from './vocabulary.ts'

const Answer = Type.Object({ data: Type.Array(Type.Object({ embedding: Type.Array(Type.Number(), { minItems: 1, maxItems: 65_536 }) }), { minItems: 1, maxItems: 1 }) })

export interface RemoteEmbedOptions {
  http: HttpClient
  /** The model's name there. */
  name: string
  vocabulary: EmbeddingVocabulary
  limitMs: number
}

export interface RemoteEmbed {
  inputLength(tokens: readonly number[]): number
  /** Throws UpstreamError. */
  embed(tokens: readonly number[], signal: AbortSignal): Promise<readonly number[]>
}

/** The embedding of a text's tokens, through /v1/embeddings, which all servers have alike. */
export function createRemoteEmbed({ http, name, vocabulary: { first, last }, limitMs }: RemoteEmbedOptions): RemoteEmbed {
  function complete(tokens: readonly number[]): readonly number[] {
    const begun = first === undefined || tokens[0] === first ? tokens : [first, ...tokens]
    return last === undefined || begun.at(-1) === last ? begun : [...begun, last]
  }

  return {
    inputLength: (tokens) => complete(tokens).length,
    async embed(tokens, signal) {
      const body = { model: name, input: complete(tokens), encoding_format: 'float' }
      const answer = await http.json({ method: 'POST', path: '/v1/embeddings', body, signal }, limitMs)
      const [first] = Check(Answer, answer) ? answer.data : []
      if (first === undefined) throw malformed()
      return first.embedding
    },
  }
}
