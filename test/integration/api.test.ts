import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDirectory } from '../../services/shared/directory/directory.ts'
import { open, send, type SendOptions } from '../support/client.ts'
import { withMetadata } from '../support/gguf-edit.ts'
import { type Platform, startPlatform, until } from '../support/platform.ts'
import { auditRecords } from '../support/records.ts'

const templates = join(import.meta.dirname, '../fixtures/templates')
let platform: Platform
/** Its model has the chat template of Qwen3, and writes this. */
let calling: Platform
const callingText = '<think>\nLet me see.\n</think>\n\nI look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'

beforeAll(async () => {
  const template = await readFile(join(templates, 'qwen3.jinja'), 'utf8')
  const modelPath = await withMetadata(process.env['INTRAMUROS_TEST_MODEL'] ?? '', { 'tokenizer.chat_template': template })
  ;[platform, calling] = await Promise.all([startPlatform({ workers: [{ tokens: 8 }] }), startPlatform({ workers: [{ text: callingText }], modelPath })])
})
afterAll(() => Promise.all([platform.stop(), calling.stop()]))

const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }]

interface Answered {
  choices: { index: number; text: string; message: { content: string | null } }[]
  tokens: { id: number; piece: string }[]
  [name: string]: unknown
}

async function post(target: Platform, path: string, body: object, options: SendOptions = {}) {
  const reply = await send(target, { model: target.model, ...body }, { path, ...options })
  return { ...reply, json: JSON.parse(reply.text) as Answered }
}

/** Data of the events of a stream, "[DONE]" as it is. */
async function stream(target: Platform, path: string, body: object): Promise<Record<string, unknown>[]> {
  const reply = await send(target, { model: target.model, ...body, stream: true }, { path })
  expect(reply.status).toBe(200)
  return reply.text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => event.replace(/^(event: .*\n)?data: /, ''))
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data) as Record<string, unknown>)
}

const messages = [{ role: 'user', content: 'How is the weather?' }]

describe('choices', () => {
  test('are as many as asked for, each of its own seed, and counted together', async () => {
    const { json } = await post(platform, '/v1/chat/completions', { messages, n: 3, seed: 1, temperature: 1 })
    expect(json.choices.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(new Set(json.choices.map(({ message }) => message.content)).size).toBe(3)
    expect(json['usage']).toMatchObject({ completion_tokens: 27 })
  })

  test('stream side by side to the same', async () => {
    const { json } = await post(platform, '/v1/chat/completions', { messages, n: 2, seed: 1, temperature: 1 })
    const events = await stream(platform, '/v1/chat/completions', { messages, n: 2, seed: 1, temperature: 1 })
    const texts = ['', '']
    for (const event of events as { choices: { index: number; delta: { content?: string } }[] }[]) {
      for (const { index, delta } of event.choices) texts[index] += delta.content ?? ''
    }
    expect(texts).toEqual(json.choices.map(({ message }) => message.content))
  })
})

describe('tools and reasoning', () => {
  test('in chat', async () => {
    const { json } = await post(calling, '/v1/chat/completions', { messages, tools })
    expect(json.choices).toMatchObject([
      {
        finish_reason: 'tool_calls',
        message: { content: expect.stringContaining('I look.') as string, reasoning_content: expect.stringContaining('Let me see.') as string, tool_calls: [{ type: 'function', function: { name: 'weather' } }] },
      },
    ])
    const message = json.choices[0]?.message as { tool_calls?: { function: { arguments: string } }[] } | undefined
    expect(JSON.parse(message?.tool_calls?.[0]?.function.arguments ?? '')).toEqual({ city: 'Zürich' })
  })

  test('in streamed chat: no part of a tag leaves, and the arguments come in pieces', async () => {
    const events = (await stream(calling, '/v1/chat/completions', { messages, tools })) as { choices: { delta: { content?: string; reasoning_content?: string; tool_calls?: { function: { arguments: string } }[] } }[] }[]
    const deltas = events.map((event) => event.choices[0]?.delta ?? {})
    const text = deltas.map((delta) => delta.content ?? '').join('')
    expect(text + deltas.map((delta) => delta.reasoning_content ?? '').join('')).not.toMatch(/[<>{}]|tool_call|think/)
    const pieces = deltas.flatMap((delta) => delta.tool_calls ?? []).map((call) => call.function.arguments)
    expect(pieces.length).toBeGreaterThan(2)
    expect(JSON.parse(pieces.join(''))).toEqual({ city: 'Zürich' })
  })

  test.each([...Array(80).keys()].map((n) => n + 1))('no part of a tag leaves when the limit is %i tokens', async (max_tokens) => {
    const { json } = await post(calling, '/v1/chat/completions', { messages, tools, max_tokens })
    const message = json.choices[0]?.message as { content: string | null; reasoning_content?: string; tool_calls?: { function: { arguments: string } }[] }
    expect(json.choices[0]).toMatchObject({ finish_reason: 'length' })
    expect('I look.'.startsWith(message.content?.trim() ?? '')).toBe(true)
    expect('Let me see.'.startsWith(message.reasoning_content?.trim() ?? '')).toBe(true)
    for (const call of message.tool_calls ?? []) expect('{"city": "Zürich"}'.startsWith(call.function.arguments)).toBe(true)
  })

  test.each([
    ['name', 'tool_calls', 'I look.'],
    ['city', 'tool_calls', 'I look.'],
    ['Zürich', 'tool_calls', 'I look.'],
    ['look', 'stop', 'I '],
    ['<tool', 'stop', 'I look.'],
    ['<tool_call>', 'stop', 'I look.'],
  ])('a call is not cut by the stop sequence %j', async (stop, finish_reason, content) => {
    const { json } = await post(calling, '/v1/chat/completions', { messages, tools, stop })
    expect(json.choices[0]).toMatchObject({ finish_reason })
    expect(json.choices[0]?.message.content?.trim()).toBe(content.trim())
    const message = json.choices[0]?.message as { tool_calls?: { function: { arguments: string } }[] } | undefined
    expect(message?.tool_calls?.map((call) => call.function.arguments)).toEqual(finish_reason === 'stop' ? undefined : ['{"city": "Zürich"}'])
  })

  test('in responses and messages', async () => {
    const responses = await post(calling, '/v1/responses', { input: 'How is the weather?', tools: tools.map(({ type, function: f }) => ({ type, ...f, strict: false })) })
    expect((responses.json as { output?: { type: string }[] }).output?.map(({ type }) => type)).toEqual(['reasoning', 'message', 'function_call'])
    const anthropic = await post(calling, '/v1/messages', { max_tokens: 500, messages, tools: tools.map(({ function: f }) => ({ name: f.name, input_schema: f.parameters })) })
    expect((anthropic.json as { content?: { type: string }[] }).content?.map(({ type }) => type)).toEqual(['thinking', 'text', 'tool_use'])
    expect(anthropic.json).toMatchObject({ stop_reason: 'tool_use' })
  })

  test('without tools in the request, tool markup is text', async () => {
    const { json } = await post(calling, '/v1/chat/completions', { messages })
    expect(json.choices[0]?.message.content).toContain('<tool_call>')
  })
})

describe('completions', () => {
  test('of a batch, with the prompt before them', async () => {
    const { json } = await post(platform, '/v1/completions', { prompt: ['One', 'Two'], n: 2, echo: true, max_tokens: 3 })
    expect(json.choices.map(({ text }) => text.slice(0, 3))).toEqual(['One', 'One', 'Two', 'Two'])
    expect(json.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3])
  })

  test('of token ids, which tokenize gives', async () => {
    const { json: asked } = await post(platform, '/tokenize', { prompt: 'Once upon a time' })
    const { json: byText } = await post(platform, '/v1/completions', { prompt: 'Once upon a time', temperature: 0 })
    const { json: byTokens } = await post(platform, '/v1/completions', { prompt: asked.tokens, temperature: 0 })
    expect(byTokens.choices).toEqual(byText.choices)
  })

  test('without a suffix where the model can not fill in', async () => {
    const reply = await post(platform, '/v1/completions', { prompt: 'a', suffix: 'b' })
    expect(reply.status).toBe(400)
    expect(reply.json['error']).toMatchObject({ param: 'suffix', code: 'unsupported_parameter' })
  })
})

describe('tokens', () => {
  test('there and back', async () => {
    const { json: there } = await post(platform, '/tokenize', { content: 'Grüße <|im_end|>', with_pieces: true })
    const tokens = there.tokens.map(({ id }) => id)
    expect(there['count']).toBe(tokens.length)
    expect(there.tokens.at(-1)?.piece).toBe('<|im_end|>')
    const { json: back } = await post(platform, '/detokenize', { tokens })
    expect(back['content']).toBe('Grüße <|im_end|>')
    const { json: text } = await post(platform, '/tokenize', { content: '<|im_end|>', parse_special: false })
    expect(text['count']).toBeGreaterThan(1)
  })

  test('of a conversation are those of its rendered template', async () => {
    const { json: rendered } = await post(platform, '/apply-template', { messages })
    expect(rendered['prompt']).toContain('How is the weather?')
    const { json: direct } = await post(platform, '/tokenize', { messages })
    const { json: byText } = await post(platform, '/tokenize', { content: rendered['prompt'] })
    expect(direct.tokens).toEqual(byText.tokens)
    const { json: counted } = await post(platform, '/v1/messages/count_tokens', { messages })
    expect(counted['input_tokens']).toBe(direct['count'])
  })

  test('need no model where one is served', async () => {
    const reply = await send(platform, { content: 'a' }, { path: '/tokenize' })
    expect(reply.status).toBe(200)
  })
})

describe('models', () => {
  test('one by its id', async () => {
    const reply = await send(platform, undefined, { method: 'GET', path: `/v1/models/${platform.model}` })
    expect(JSON.parse(reply.text)).toMatchObject({ id: platform.model, object: 'model', context_length: 4096, architecture: 'llama', quantisation: expect.any(String) as string })
    expect((await send(platform, undefined, { method: 'GET', path: '/v1/models/nope' })).status).toBe(404)
  })

  test('a generating one gives no embeddings', async () => {
    const reply = await post(platform, '/v1/embeddings', { input: 'a' })
    expect(reply.status).toBe(400)
    expect(reply.json['error']).toMatchObject({ code: 'unsupported_model', param: 'model' })
  })
})

test('an unknown parameter is refused for a team that takes none, with what may have been meant', async () => {
  const directory = openDirectory({ home: platform.home })
  try {
    directory.changeTeam('default', { strictParameters: true })
    const reply = await post(platform, '/v1/chat/completions', { messages, temprature: 1 })
    expect(reply.status).toBe(400)
    expect(reply.json['error']).toMatchObject({ code: 'unknown_parameter', param: 'temprature', message: expect.stringContaining("'temperature'") as string })
  } finally {
    directory.changeTeam('default', { strictParameters: false })
    directory.close()
  }
})

test('the OpenAPI document has every path, and needs no key', async () => {
  const reply = await send(platform, undefined, { method: 'GET', path: '/openapi.json', headers: { authorization: '' } })
  const { openapi, paths } = JSON.parse(reply.text) as { openapi: string; paths: object }
  expect(openapi).toBe('3.1.0')
  expect(Object.keys(paths)).toContain('/v1/messages/count_tokens')
})

describe('a client that goes away', () => {
  const endless: [string, object][] = [
    ['/v1/chat/completions', { messages }],
    ['/v1/chat/completions', { messages, n: 3 }],
    ['/v1/completions', { prompt: 'Once upon a time', max_tokens: 4000 }],
    ['/v1/responses', { input: 'a' }],
    ['/v1/messages', { messages, max_tokens: 4000 }],
  ]
  test.each(endless.flatMap(([path, body]) => [[path, body, true] as const, [path, body, false] as const]))('frees its slots and is recorded: %s %j, stream %j', async (path, body, streams) => {
    const slow = await slowPlatform()
    const before = (await auditRecords(slow.home)).length
    const client = new AbortController()
    const answer = open(slow, { model: slow.model, ...body, stream: streams }, { path, signal: client.signal })
    answer.catch(() => undefined)
    if (streams) await answer
    await until(async () => (await runningSlots(slow)) > 0, 'a slot to be taken')
    client.abort()
    await until(async () => (await runningSlots(slow)) === 0 && (await auditRecords(slow.home)).slice(before).some(({ outcome }) => outcome === 'cancelled'), 'the slots to be free')
  })

  let started: Promise<Platform> | undefined
  const slowPlatform = (): Promise<Platform> => (started ??= startPlatform({ workers: [{ tokens: 4000, delayMs: 20, slots: 4 }] }))
  afterAll(async () => (await started)?.stop())
})

async function runningSlots(target: Platform): Promise<number> {
  const text = await (await fetch(`${target.monitor('worker-0')}/metrics`)).text()
  return Number(/^intramuros_worker_busy_slots(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1] ?? Number.NaN)
}
