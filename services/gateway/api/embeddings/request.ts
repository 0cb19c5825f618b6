import Type, { type Static } from 'typebox'
import { bodyParser } from '../body.ts'
import { ignored, nullable, refused } from '../parameter.ts'

/** As OpenAI has it. */
const mostInputs = 2048
const TokenIds = Type.Array(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }), { minItems: 1 })
const Text = Type.String({ minLength: 1 })

export const EmbeddingsBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 256, description: 'Id of a served embedding model, as GET /v1/models tells.' }),
  input: Type.Union([Text, Type.Array(Text, { minItems: 1, maxItems: mostInputs }), TokenIds, Type.Array(TokenIds, { minItems: 1, maxItems: mostInputs })], {
    description: `Text, token ids (with the special ones that the model wants), or a batch of at most ${mostInputs} of either.`,
  }),
  dimensions: nullable(
    Type.Integer({ minimum: 1, maximum: 65_536 }),
    'Give only so many of the first numbers, made a vector of length 1 again. Makes sense for models trained for it (Matryoshka). Default: all.',
  ),
  encoding_format: nullable(Type.Enum(['float', 'base64']), '`base64`: little-endian 32-bit floats. Default `float`.'),
  user: ignored(Type.String({ maxLength: 1024 }), 'Who asks is told by the API key.'),
  truncate_prompt_tokens: refused([null], 'an input is never cut.'),
  add_special_tokens: refused([null, true], 'a text always has the tokens that its model wants.'),
  embd_normalize: refused([null, 2], 'embeddings are of length 1 (L2).'),
})

export interface EmbeddingsRequest {
  model: string
  inputs: { texts: string[] } | { tokens: number[][] }
  dimensions: number | undefined
  base64: boolean
  unknown: string[]
}

const parseBody = bodyParser(EmbeddingsBody)

/** Reads the body of POST /v1/embeddings, https://platform.openai.com/docs/api-reference/embeddings/create. */
export function parseEmbeddingsRequest(json: unknown): EmbeddingsRequest {
  const { value: body, unknown } = parseBody(json)
  return { model: body.model, inputs: inputsOf(body.input), dimensions: body.dimensions ?? undefined, base64: body.encoding_format === 'base64', unknown }
}

function inputsOf(input: Static<typeof EmbeddingsBody>['input']): EmbeddingsRequest['inputs'] {
  if (typeof input === 'string') return { texts: [input] }
  const texts: string[] = []
  const lists: number[][] = []
  const ids: number[] = []
  for (const item of input) {
    if (typeof item === 'string') texts.push(item)
    else if (typeof item === 'number') ids.push(item)
    else lists.push(item)
  }
  if (texts.length > 0) return { texts }
  return { tokens: lists.length > 0 ? lists : [ids] }
}
