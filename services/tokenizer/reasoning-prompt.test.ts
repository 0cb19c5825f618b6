import { readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { type Conversation, type OutputFormat, type PrepareResponse, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { grammarMatcher } from '../shared/grammar/testing.ts'
import { createChatModel } from './chat-model.ts'
import { createMetrics } from './metrics.ts'
import type { ServedModel } from './model.ts'
import { createPrepare } from './prepare.ts'
import { indexSpecialTokens, partition, type Piece } from './special-tokens.ts'
import type { SpecialToken, Vocabulary } from './vocabulary.ts'

// What a prompt says of the reasoning that follows it, with the templates of reasoning models.

const spellings = ['<think>', '</think>', '<tool_call>', '</tool_call>']
const special: SpecialToken[] = spellings.map((text, id) => ({ id, text, control: false, stripLeft: false, stripRight: false }))
const index = indexSpecialTokens(special)
/** Beyond the special tokens, a token is a character. */
const firstCharacter = 1000

function idsOf(pieces: readonly Piece[]): number[] {
  return pieces.flatMap((piece) => (typeof piece === 'string' ? Array.from({ length: piece.length }, (_, i) => firstCharacter + piece.charCodeAt(i)) : [piece.id]))
}

function textOf(ids: readonly number[]): string {
  return ids.map((id) => spellings[id] ?? String.fromCharCode(id - firstCharacter)).join('')
}

function served(name: string): ServedModel {
  const source = readFileSync(new URL(`../../test/fixtures/templates/${name}.jinja`, import.meta.url), 'utf8')
  const vocabulary = {
    bos: undefined,
    addBos: false,
    eosText: '',
    longestTokenBytes: 20,
    specialTokens: special,
    tokenise: (text) => idsOf([text]),
  } satisfies Partial<Vocabulary> as unknown as Vocabulary
  return {
    contextLength: 100_000,
    vocabulary,
    chat: createChatModel(vocabulary, source, name),
    pairs: undefined, description: { completion: true },
    pieces: (text: string) => partition(text, text, index),
    tokenise: (pieces: readonly Piece[]) => Promise.resolve({ ids: idsOf(pieces), complete: true }),
  } satisfies Record<keyof Omit<ServedModel, 'close'>, unknown> as unknown as ServedModel
}

const write = (): void => undefined
const handler = createPrepare({
  models: new Map(['qwen3', 'deepseek-r1-distill'].map((name) => [name, served(name)])),
  log: { debug: write, info: write, warn: write, error: write },
  metrics: createMetrics(new Registry()),
})

interface More extends Partial<Conversation> {
  content?: string
  format?: OutputFormat
}

async function prepare(model: string, { content = 'hi', format, ...more }: More = {}): Promise<PrepareResponse> {
  const value: Conversation = {
    messages: [{ role: 'user', content, reasoning: '', toolCalls: [], toolCallId: '', name: '' }],
    tools: [],
    toolChoice: ToolChoice.AUTO,
    toolName: '',
    singleToolCall: false,
    templateKwargs: '',
    reasoningEffort: '',
    addGenerationPrompt: true,
    ...more,
  }
  const request = { model, prompt: { $case: 'conversation', value } as const, maxTokens: 0, format, wantText: false, anyLength: false }
  return await handler(request, { requestId: 'r', peer: 'gateway', signal: new AbortController().signal })
}

const object: OutputFormat = { format: { $case: 'jsonObject', value: true }, param: 'response_format' }

describe('reasoning that the template begins', () => {
  const model = 'deepseek-r1-distill'

  test('is open, and a format holds after it', async () => {
    const { tokens, reasoningOpen, reasoningBegin, reasoningEnd, grammar, grammarAfter } = await prepare(model, { format: object })
    expect(textOf(tokens)).toMatch(/<think>\n$/)
    expect({ reasoningOpen, reasoningBegin, reasoningEnd, grammarAfter }).toEqual({ reasoningOpen: true, reasoningBegin: '<think>', reasoningEnd: '</think>', grammarAfter: [] })
    // It must be ended: the end of the answer is no way out of the format.
    expect(grammarMatcher(grammar)('Well')).toBe(false)
    expect(grammarMatcher(grammar)('Well</think>\n\n{}')).toBe(true)
  })

  test('is over where the template ends it, and there is none where no turn begins', async () => {
    const off = await prepare(model, { reasoning: false, format: object })
    expect(textOf(off.tokens)).toMatch(/<think>\n<\/think>$/)
    expect(off).toMatchObject({ reasoningOpen: false, grammarAfter: [] })
    expect((await prepare(model, { addGenerationPrompt: false })).reasoningOpen).toBe(false)
  })
})

describe('reasoning that the model begins', () => {
  const model = 'qwen3'

  test('is possible unless it is switched off', async () => {
    const possible = await prepare(model, { format: object })
    expect(possible).toMatchObject({ reasoningOpen: false, grammarAfter: [] })
    expect(possible.grammar).toContain('<think>')
    const off = await prepare(model, { reasoning: false, format: object })
    expect(textOf(off.tokens)).toMatch(/<think>\n\n<\/think>\n\n$/)
    expect(off.grammar).not.toContain('<think>')
  })

  test('is not expected where no turn of the model begins', async () => {
    expect((await prepare(model, { addGenerationPrompt: false, format: object })).grammar).not.toContain('<think>')
  })

  test('is not begun by what a user says', async () => {
    expect((await prepare(model, { content: 'a <think>' })).reasoningOpen).toBe(false)
  })

  test('can be ended by tokens, for a budget', async () => {
    expect((await prepare(model)).reasoningEndTokens).toEqual([])
    const { reasoningEndTokens } = await prepare(model, { reasoningBudget: 0 })
    expect(textOf(reasoningEndTokens)).toBe('\n</think>\n\n')
    expect(reasoningEndTokens).toContain(spellings.indexOf('</think>'))
  })

  test('has markers that are to be seen', async () => {
    const { visibleTokens } = await prepare(model)
    expect(new Set(visibleTokens)).toEqual(new Set(special.map(({ id }) => id)))
  })
})
