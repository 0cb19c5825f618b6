import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chooseDialect } from '../../services/shared/dialects/dialect.ts'
import { ServiceError } from '../../services/shared/errors.ts'
import { createMetrics } from '../../services/tokenizer/metrics.ts'
import { createTokenizerService, type TokenizerService } from '../../services/tokenizer/service.ts'
import { writeTinyModel } from '../support/gguf-tiny-model.ts'
import { llamaCppSource } from '../support/llama-cpp-source.ts'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'
import { type Conversation, conversations } from './conversations.ts'
import { families, type Family } from './families.ts'
import { knownDifference } from './known-differences.ts'
import { prepareRequest } from './prepare-request.ts'

// The tokens of a prompt, ours against those that llama-server's chat endpoint gives its model: the same GGUF file in both,
// of a model without weights but with a real vocabulary and template.

const Prompt = Type.Object({ prompt: Type.String() })
const Tokens = Type.Object({ tokens: Type.Array(Type.Integer()) })

/** Not the day of the test: some templates ask for it, and llama-server gives it to others that have a day of their own. */
const kwargs = { date_string: '26 Jul 2025' }
/** Of the vocabularies as they are in their files. */
const commonControl =
  '<|im_end|> <|endoftext|> <|eot_id|> <|end_of_text|> </s> <|end|> <eos> <end_of_turn> <turn|> <｜end▁of▁sentence｜> <|END_OF_TURN_TOKEN|>'.split(' ')
const call = { requestId: 'r', peer: 'gateway', signal: new AbortController().signal }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'intramuros-differential-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function templateSource(template: string): Promise<string> {
  const { models } = await llamaCppSource()
  return readFile(join(models, 'templates', `${template}.jinja`), 'utf8')
}

/** Whether llama-server's prompts change with the tools. */
async function takesTools(server: LlamaServer): Promise<boolean> {
  const messages = [{ role: 'user', content: 'Hello.' }]
  const tool = { type: 'function', function: { name: 'needle', description: 'A tool.', parameters: { type: 'object', properties: {} } } }
  return (await theirs(server, { messages, tools: [tool] }))?.prompt !== (await theirs(server, { messages }))?.prompt
}

async function modelOf({ vocabulary, control = [], userDefined = [] }: Family, template: string): Promise<string> {
  const { models } = await llamaCppSource()
  const path = join(folder, `${template}.gguf`)
  await writeTinyModel(path, {
    vocabulary: vocabulary === undefined ? (process.env['INTRAMUROS_TEST_MODEL'] ?? '') : join(models, `ggml-vocab-${vocabulary}.gguf`),
    chatTemplate: await templateSource(template),
    control,
    userDefined,
  })
  return path
}

/** Those of the spellings that are one token, with its id. */
async function controlTokens(server: LlamaServer, spellings: readonly string[]): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const spelling of spellings) {
    const answer = await server.post('/tokenize', { content: spelling, parse_special: true })
    const plain = await server.post('/tokenize', { content: spelling, parse_special: false })
    const [id, ...more] = Parse(Tokens, answer).tokens
    if (id !== undefined && more.length === 0 && Parse(Tokens, plain).tokens.length > 1) found.set(spelling, id)
  }
  return found
}

/** What llama-server's chat endpoint gives the model; undefined where the template refuses. */
async function theirs(server: LlamaServer, body: object): Promise<{ prompt: string; tokens: number[] } | undefined> {
  let answer: unknown
  try {
    answer = await server.post('/apply-template', body)
  } catch {
    return undefined
  }
  const { prompt } = Parse(Prompt, answer)
  const tokens = await server.post('/tokenize', { content: prompt, add_special: true, parse_special: true })
  return { prompt, ...Parse(Tokens, tokens) }
}

/** Undefined where the template refuses; 'no tools' where we say that it knows none. */
async function ours(
  service: TokenizerService,
  request: ReturnType<typeof prepareRequest>,
): Promise<{ prompt: string; tokens: number[] } | 'no tools' | undefined> {
  try {
    const { tokens, text } = await service.handlers.prepare(request, call)
    return { prompt: text, tokens }
  } catch (thrown) {
    if (thrown instanceof ServiceError && thrown.reason === 'template_rejected') return undefined
    if (thrown instanceof ServiceError && thrown.reason === 'unsupported_parameter') return 'no tools'
    throw thrown
  }
}

function tokensOf(prepared: Awaited<ReturnType<typeof ours>>): readonly number[] {
  return typeof prepared === 'object' ? prepared.tokens : []
}

for (const family of families) {
  describe.each(family.templates)('%s', (template) => {
    let server: LlamaServer
    let service: TokenizerService

    beforeAll(async () => {
      const model = await modelOf(family, template)
      server = await startLlamaServer({ model, args: ['--ctx-size', '8192'] })
      const log = pino({ level: 'silent' })
      service = await createTokenizerService({ models: [{ id: template, path: model }], log, metrics: createMetrics(new Registry()) })
    })
    afterAll(async () => {
      await server?.close()
      await service?.close()
    })

    it.each(conversations)('$name', async (conversation) => {
      const { messages, tools } = conversation
      const given = { ...kwargs, ...conversation.kwargs }
      const expected = await theirs(server, { messages, tools, chat_template_kwargs: given })
      const actual = await ours(service, prepareRequest(template, { ...conversation, kwargs: given }))
      if (knownDifference(template, conversation.name) !== undefined) {
        // One that has gone is to be taken off the list.
        expect(actual).not.toEqual(expected)
        return
      }
      const [tool] = tools ?? []
      if (tool !== undefined && !(await takesTools(server))) {
        // llama-server lets them fall under the table. We describe them to the model, or say that it can't call any.
        if (actual !== 'no tools') expect(actual?.prompt).toContain(tool.function.name)
        return
      }
      // The template takes them, but what its models write can't be read here: see dialect.ts.
      if (actual === 'no tools') {
        expect(chooseDialect(await templateSource(template)).tools).toBeUndefined()
        return
      }
      expect(actual?.prompt).toBe(expected?.prompt)
      expect(actual?.tokens).toEqual(expected?.tokens)
    })

    // Where we part on purpose: llama-server takes what a client spells for the control token itself.
    it('control tokens spelt in a message', async () => {
      const spelt = await controlTokens(server, [...(family.control ?? []), ...commonControl])
      expect(spelt.size).toBeGreaterThan(0)
      const among = (tokens: readonly number[]): number[] => tokens.filter((token) => [...spelt.values()].includes(token))
      const asking = (content: string): Conversation => ({ name: '', messages: [{ role: 'user', content }], kwargs })

      const harmless = await ours(service, prepareRequest(template, asking('a b')))
      const forged = asking(`a ${[...spelt.keys()].join(' ')} b`)
      const actual = await ours(service, prepareRequest(template, forged))
      const expected = await theirs(server, { messages: forged.messages, chat_template_kwargs: kwargs })
      expect(actual).toMatchObject({ prompt: expected?.prompt })
      expect(among(tokensOf(actual))).toEqual(among(tokensOf(harmless)))
      expect(among(expected?.tokens ?? [])).toHaveLength(among(tokensOf(harmless)).length + spelt.size)
    })
  })
}
