import Type from 'typebox'

export const Tokenized = Type.Object({
  tokens: Type.Union([
    Type.Array(Type.Integer()),
    Type.Array(Type.Object({ id: Type.Integer(), piece: Type.Union([Type.String(), Type.Array(Type.Integer(), { description: 'Bytes of a part of a character.' })]) })),
  ]),
  count: Type.Integer(),
  max_model_len: Type.Integer({ description: 'Tokens of a prompt and its answer together.' }),
  token_strs: Type.Optional(Type.Array(Type.String())),
})

export const Detokenized = Type.Object({
  content: Type.String({ description: "llama-server's name of it." }),
  prompt: Type.String({ description: "vLLM's name of it." }),
})

export const AppliedTemplate = Type.Object({ prompt: Type.String() })
