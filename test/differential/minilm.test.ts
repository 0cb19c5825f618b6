import { join } from 'node:path'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'
import { minilmModel, minilmWheel } from '../support/minilm.ts'
import { pythonEnvironment } from '../support/python.ts'
import { runProgram } from '../support/run-program.ts'
import { cosine } from './cosine.ts'
import { sentences } from './sentences.ts'

// The GGUF that tests of embeddings use, in llama-server, against the weights that it was made of, in numpy.

const References = Type.Array(Type.Object({ tokens: Type.Array(Type.Integer()), vector: Type.Array(Type.Number()) }))
const Embeddings = Type.Array(Type.Object({ embedding: Type.Tuple([Type.Array(Type.Number())]) }))
const Tokens = Type.Object({ tokens: Type.Array(Type.Integer()) })

let references: readonly { tokens: number[]; vector: number[] }[]
let server: LlamaServer

beforeAll(async () => {
  references = await reference(sentences)
  server = await startLlamaServer({ model: await minilmModel(), args: ['--embedding'] })
})
afterAll(async () => {
  await server.close()
})

async function reference(texts: readonly string[]): Promise<typeof references> {
  const python = await pythonEnvironment('minilm-reference', ['numpy==2.4.6', 'tokenizers==0.23.3'])
  const script = join(import.meta.dirname, 'minilm_reference.py')
  const output = await runProgram(python, ['-B', script, await minilmWheel()], { timeoutMs: 120_000, input: JSON.stringify(texts) })
  return Parse(References, JSON.parse(output))
}

describe.each(sentences.map((sentence, index) => ({ sentence, index })))('$sentence', ({ sentence, index }) => {
  it('has the tokens that Hugging Face gives it', async () => {
    const { tokens } = Parse(Tokens, await server.post('/tokenize', { content: sentence, add_special: true }))
    expect(tokens).toEqual(references[index]?.tokens)
  })

  it('has the embedding of the original weights', async () => {
    const tokens = references[index]?.tokens
    const [answer] = Parse(Embeddings, await server.post('/embedding', { content: tokens }))
    expect(cosine(answer?.embedding[0] ?? [], references[index]?.vector ?? [])).toBeGreaterThan(0.9999)
  })
})
