import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import type { Conversation, PrepareRequest } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { CallContext } from '../shared/rpc/handler.ts'
import { createMetrics } from './metrics.ts'
import { chooseDialect } from '../shared/dialects/dialect.ts'
import type { ChatModel } from './chat-model.ts'
import type { ServedModel } from './model.ts'
import type { ParsedConversation } from './conversation.ts'
import { createPrepare } from './prepare.ts'

const call: CallContext = { requestId: 'request-1', peer: 'gateway', signal: new AbortController().signal }

const dialect = chooseDialect('')

/** A model of one token a character, 100 of context, and a prepare over it with all that it logs. */
function setUp(render: ChatModel['render'] = ({ messages }) => messages.map(({ role, content }) => role.charAt(0) + content), complete = true) {
  const lines: unknown[] = []
  const write = (...line: unknown[]): void => {
    lines.push(line)
  }
  const log: Logger = { debug: write, info: write, warn: write, error: write }
  const registry = new Registry()
  const chat: ChatModel = { tools: false, dialect: () => dialect, visibleTokens: () => [], render, fixed: new Map(), leading: undefined }
  const served = {
    contextLength: 100,
    vocabulary: { longestTokenBytes: 4, size: 1000, bos: undefined, addBos: false, infill: undefined },
    chat,
    description: { completion: true },
    pieces: (text: string) => [text],
    tokenise: (pieces: readonly unknown[]) => Promise.resolve({ ids: Array.from(pieces.join(''), (_, i) => i), complete }),
  } as unknown as ServedModel
  const prepare = createPrepare({ models: new Map([['tiny', served]]), log, metrics: createMetrics(registry) })
  return { lines, registry, prepare }
}

interface More extends Partial<PrepareRequest> {
  messages?: { role: string; content: string }[]
}

function request(content: string, { messages = [{ role: 'user', content }], ...more }: More = {}): PrepareRequest {
  const conversation: Conversation = {
    messages: messages.map((message) => ({ ...message, reasoning: '', toolCalls: [], toolCallId: '', name: '' })),
    tools: [],
    toolChoice: 0,
    toolName: '',
    singleToolCall: false,
    templateKwargs: '',
    reasoningEffort: '',
    addGenerationPrompt: true,
  }
  return { model: 'tiny', prompt: { $case: 'conversation', value: conversation }, maxTokens: 0, format: undefined, wantText: false, anyLength: false, ...more }
}

describe('prepare', () => {
  test('gives the tokens, and as many for the answer as are left', async () => {
    const { prepare } = setUp()
    expect(await prepare(request('ab'), call)).toMatchObject({ tokens: [0, 1, 2], maxTokens: 97, dialect: 'plain', grammar: '', text: '' })
    expect(await prepare(request('ab', { maxTokens: 10 }), call)).toMatchObject({ tokens: [0, 1, 2], maxTokens: 10 })
    expect(await prepare(request('ab', { maxTokens: 1000 }), call)).toMatchObject({ maxTokens: 97 })
  })

  test('there must be room for one token of the answer', async () => {
    const { prepare } = setUp()
    expect(await prepare(request('a'.repeat(98)), call)).toMatchObject({ maxTokens: 1 })
    await expect(prepare(request('a'.repeat(99)), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'context_length_exceeded',
      param: 'messages',
      message: "This model's maximum context length is 100 tokens. However, your messages resulted in 100 tokens.",
    })
  })

  test('the context that the workers have holds where it is the smaller one', async () => {
    const { prepare } = setUp()
    expect(await prepare(request('a'.repeat(38), { contextLength: 40 }), call)).toMatchObject({ maxTokens: 1 })
    await expect(prepare(request('a'.repeat(39), { contextLength: 40 }), call)).rejects.toMatchObject({
      reason: 'context_length_exceeded',
      message: "This model's maximum context length is 40 tokens. However, your messages resulted in 40 tokens.",
    })
    expect(await prepare(request('a'.repeat(98), { contextLength: 5000 }), call)).toMatchObject({ maxTokens: 1 })
  })

  test('a text that can fit in no way is refused before it is looked at', async () => {
    const { prepare } = setUp(() => {
      throw new Error('not to be called')
    })
    const refusal = {
      reason: 'context_length_exceeded',
      message: "This model's maximum context length is 100 tokens. However, your messages resulted in more than 100 tokens.",
    }
    await expect(prepare(request('a'.repeat(401)), call)).rejects.toMatchObject(refusal)
    await expect(prepare(request('é'.repeat(201)), call)).rejects.toMatchObject(refusal)
    const many = Array.from({ length: 101 }, () => ({ role: 'user', content: '' }))
    await expect(prepare(request('', { messages: many }), call)).rejects.toMatchObject(refusal)
    await expect(prepare(request('é'.repeat(200)), call)).rejects.toMatchObject({ reason: 'internal_error' })
    await expect(prepare(request('', { messages: many.slice(1) }), call)).rejects.toMatchObject({ reason: 'internal_error' })
  })

  test('one that was given up at the limit is not counted', async () => {
    const { prepare } = setUp(() => ['a'.repeat(150)], false)
    await expect(prepare(request('a'), call)).rejects.toThrow('resulted in more than 400 tokens')
  })

  test('an unknown model, an unknown role, no messages', async () => {
    const { prepare } = setUp()
    await expect(prepare(request('a', { model: 'other' }), call)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      reason: 'model_not_found',
      param: 'model',
    })
    await expect(prepare(request('a', { messages: [{ role: 'canary', content: 'a' }] }), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      param: 'messages[0].role',
      message: 'A message has an unknown role.',
    })
    await expect(prepare(request('a', { messages: [] }), call)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      param: 'messages',
    })
  })

  test('"developer" reaches the template as "system"', async () => {
    let seen: ParsedConversation | undefined
    const { prepare } = setUp((conversation) => {
      seen = conversation
      return ['a']
    })
    await prepare(request('', { messages: [{ role: 'developer', content: 'a' }, { role: 'tool', content: '😀' }] }), call)
    expect(seen?.messages).toMatchObject([{ role: 'system', content: 'a' }, { role: 'tool', content: '😀' }])
  })

  test('errors go on as they are, unknown ones without their text, and are counted', async () => {
    const refusal = new ServiceError('INVALID_ARGUMENT', 'template_rejected', 'no', { param: 'messages' })
    const refusing = setUp(() => {
      throw refusal
    })
    await expect(refusing.prepare(request('canary'), call)).rejects.toBe(refusal)
    const broken = setUp(() => {
      throw new TypeError('canary')
    })
    await expect(broken.prepare(request('canary'), call)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'Something failed inside the service.',
    })
    expect(await refusing.registry.metrics()).toContain('intramuros_tokenizer_prepare_errors_total{reason="template_rejected"} 1')
    expect(await broken.registry.metrics()).toContain('intramuros_tokenizer_prepare_errors_total{reason="internal_error"} 1')
  })

  test('more messages, calls and tools than tokens are refused before anything is rendered', async () => {
    const { prepare } = setUp(() => {
      throw new Error('rendered')
    })
    const refused = { reason: 'context_length_exceeded', message: expect.stringContaining('more than 100 tokens') as string }
    await expect(prepare(request('', { messages: Array.from({ length: 101 }, () => ({ role: 'user', content: '' })) }), call)).rejects.toMatchObject(refused)
    const many = request('')
    const [message] = many.prompt?.$case === 'conversation' ? many.prompt.value.messages : []
    for (let i = 0; i < 100; i++) message?.toolCalls.push({ id: '', name: 'f', arguments: '' })
    await expect(prepare(many, call)).rejects.toMatchObject(refused)
  })

  test('counts, and logs the request id and counts but nothing of the messages', async () => {
    const { prepare, lines, registry } = setUp()
    await prepare(request('canary'), call)
    expect(lines).toEqual([[{ requestId: 'request-1', tokens: 7, maxTokens: 93 }, 'prompt prepared']])
    const metrics = await registry.metrics()
    expect(metrics).toContain('intramuros_tokenizer_prompt_tokens_total 7')
    expect(metrics).toContain('intramuros_tokenizer_prepare_seconds_count 1')
  })
})
