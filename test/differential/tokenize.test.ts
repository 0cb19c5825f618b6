import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMetrics } from '../../services/tokenizer/metrics.ts'
import { createTokenizerService, type TokenizerService } from '../../services/tokenizer/service.ts'
import { writeTinyModel } from '../support/gguf-tiny-model.ts'
import { llamaCppSource } from '../support/llama-cpp-source.ts'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'

// Tokens of texts and texts of tokens, ours against llama-server's, for vocabularies of each kind.

const Tokens = Type.Object({ tokens: Type.Array(Type.Integer()) })
const Content = Type.Object({ content: Type.String() })
const call = { requestId: 'r', peer: 'gateway', signal: new AbortController().signal }

const texts = [
  '',
  ' ',
  'Hello, world!',
  '  two  spaces\n\n\tand tabs\r\n',
  '漢字 😀👩‍👩‍👧 naïve e\u0301 ﷽ \u00a0\u200b',
  'for (let i = 0; i < 1000; i++) { x[i] |= 0xff }',
  "I'm, you've, he'd; 3.14159 and 1,000,000",
  '<|im_end|> </s> [INST] <start_of_turn> <|eot_id|>',
  'The quick brown fox, aged 12, jumps over the lazy dog. '.repeat(400),
]

describe.each(['qwen2', 'qwen35', 'llama-bpe', 'llama-spm', 'gemma-4', 'deepseek-llm', 'phi-3', 'command-r'])('%s', (name) => {
  const sentencePiece = name === 'llama-spm' || name === 'phi-3'
  let folder: string
  let server: LlamaServer
  let service: TokenizerService

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'intramuros-differential-'))
    const path = join(folder, 'model.gguf')
    const { models } = await llamaCppSource()
    const chatTemplate = '{% for message in messages %}{{ message.content }}{% endfor %}'
    await writeTinyModel(path, { vocabulary: join(models, `ggml-vocab-${name}.gguf`), chatTemplate })
    server = await startLlamaServer({ model: path, args: ['--ctx-size', '512'] })
    const log = pino({ level: 'silent' })
    service = await createTokenizerService({ models: [{ id: name, path }], log, metrics: createMetrics(new Registry()) })
  })
  afterAll(async () => {
    await service?.close()
    await server?.close()
    await rm(folder, { recursive: true })
  })

  async function ours(text: string, addSpecial: boolean): Promise<number[]> {
    const { lists } = await service.handlers.tokenize({ model: name, texts: [text], addSpecial, limited: false, parseSpecial: false }, call)
    return lists[0]?.ids ?? []
  }
  /** A client's text is text for us, whatever it spells. */
  async function theirs(content: string, addSpecial: boolean): Promise<number[]> {
    return Parse(Tokens, await server.post('/tokenize', { content, add_special: addSpecial, parse_special: false })).tokens
  }

  it.each(texts.map((text) => [text.slice(0, 40), text] as const))('%j', async (_, text) => {
    for (const addSpecial of [false, true]) expect(await ours(text, addSpecial)).toEqual(await theirs(text, addSpecial))
  })

  it('any text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), async (text) => {
        expect(await ours(text, false)).toEqual(await theirs(text, false))
      }),
      { numRuns: 100 },
    )
  })

  it('any tokens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(31_999), { maxLength: 20 }), async (ids) => {
        const { text } = await service.handlers.detokenize({ model: name, ids, wantPieces: false }, call)
        const { content } = Parse(Content, await server.post('/detokenize', { tokens: ids }))
        // llama.cpp has no byte for some of Command-R's characters, and says so in the text.
        if (content.includes('[UNK_BYTE_')) return
        // Of SentencePiece llama-server keeps the space that stands before each text.
        expect(sentencePiece ? [content, content.replace(/^ /, '')] : [content]).toContain(text)
      }),
      { numRuns: 100 },
    )
  })
})
