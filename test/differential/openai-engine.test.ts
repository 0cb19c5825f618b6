import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FinishReason } from '../../proto/gen/intramuros/v1/inference.ts'
import type { RemoteEnd, RemoteEngine } from '../../services/inference-worker/engines/engine.ts'
import { greedySampling } from '../support/real-worker.ts'
import { type LlamaServer, startLlamaServer } from '../support/llama-server.ts'
import { minilmModel } from '../support/minilm.ts'
import { type RemoteWorker, startRemoteWorker } from '../support/remote-worker.ts'
import { cosine } from './cosine.ts'
import { sentences } from './sentences.ts'

// The engine openai in front of llama-server, against what llama-server says when it is asked itself.

const model = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
// A cancel is heeded between two batches.
const args = ['--ctx-size', '2048', '--parallel', '2', '--metrics', '--slots', '--batch-size', '64', '--ubatch-size', '64']
const forever = new AbortController().signal

const Tokens = Type.Object({ tokens: Type.Array(Type.Integer()) })
const Slots = Type.Array(Type.Object({ id: Type.Integer(), is_processing: Type.Boolean() }))
const Entry = Type.Object({ id: Type.Integer(), logprob: Type.Number() })
const Direct = Type.Object({
  content: Type.String(),
  tokens: Type.Array(Type.Integer()),
  tokens_predicted: Type.Integer(),
  stop_type: Type.String(),
  completion_probabilities: Type.Optional(Type.Array(Type.Object({ ...Entry.properties, top_logprobs: Type.Array(Entry) }))),
})

let server: LlamaServer
let worker: RemoteWorker

beforeAll(async () => {
  server = await startLlamaServer({ model, args })
  worker = await startRemoteWorker(server.url, model)
})
afterAll(async () => {
  await worker?.close()
  await server?.close()
})

async function chat(question: string): Promise<number[]> {
  const content = `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`
  return Parse(Tokens, await server.post('/tokenize', { content, add_special: true, parse_special: true })).tokens
}

async function direct(prompt: readonly number[], settings: object = {}): Promise<Type.Static<typeof Direct>> {
  const fixed = { prompt, temperature: 0, samplers: ['temperature'], n_predict: 32, return_tokens: true, cache_prompt: false }
  return Parse(Direct, await server.post('/completion', { ...fixed, ...settings }))
}

async function busySlots(): Promise<number> {
  const slots = Parse(Slots, await (await fetch(`${server.url}/slots`)).json())
  return slots.filter(({ is_processing: busy }) => busy).length
}

function remote(): RemoteEngine {
  if (worker.engine.kind !== 'remote') throw new TypeError('not a remote engine')
  return worker.engine
}

/** The end of a completion by the engine itself. */
async function endOf(team: string, tokens: readonly number[], slot = 0): Promise<RemoteEnd> {
  const request = { slot, team, tokens, answered: 0, maxTokens: 2, sampling: greedySampling, forbidden: undefined, topLogprobs: undefined }
  for await (const item of remote().complete(request, forever)) if ('ended' in item) return item
  throw new Error('no end')
}

const questions = ['What is the capital of France?', 'Say 漢字 😀 🦉 three times.', 'Count to five.', 'Who wrote Hamlet?', 'Write one emoji: 🎉🎉🎉🎉']

describe('an answer', () => {
  it.each(questions)('to %j is what the server says itself: text, tokens, count and why it ended', async (question) => {
    const tokens = await chat(question)
    const theirs = await direct(tokens)
    const ours = await worker.answer({ tokens })
    expect(ours.text).toBe(theirs.content.replace(/\uFFFD+$/, ''))
    expect(ours.outputTokens).toBe(theirs.tokens_predicted)
    expect(ours.reason).toBe(theirs.stop_type === 'eos' ? FinishReason.STOP : FinishReason.LENGTH)
    expect(theirs.tokens.slice(0, ours.tokens.length)).toEqual(ours.tokens)
  })

  it('that a limit cuts anywhere has the same text and count', async () => {
    const tokens = await chat('Say 漢字 😀 🦉 three times.')
    for (let maxTokens = 1; maxTokens <= 24; maxTokens += 1) {
      const theirs = await direct(tokens, { n_predict: maxTokens })
      const { text, outputTokens } = await worker.answer({ tokens, maxTokens })
      expect([text, outputTokens]).toEqual([theirs.content.replace(/\uFFFD+$/, ''), theirs.tokens_predicted])
    }
  })

  it('ends before a stop sequence, unless a call stands before that', async () => {
    const tokens = await chat(questions[0] ?? '')
    const whole = await worker.answer({ tokens })
    expect(whole.text).toContain('Paris')
    const stopped = await worker.answer({ tokens, stop: ['Paris'] })
    expect(stopped).toMatchObject({ text: whole.text.slice(0, whole.text.indexOf('Paris')), reason: FinishReason.STOP, stopSequence: 'Paris' })
    expect((await worker.answer({ tokens, stop: ['Paris'], stopUntil: ['The'] })).text).toBe(whole.text)
  })

  it('has the log-probabilities that the server tells', async () => {
    const tokens = await chat(questions[0] ?? '')
    const theirs = await direct(tokens, { n_predict: 6, n_probs: 3 })
    const { logprobs } = await worker.answer({ tokens, maxTokens: 6, topLogprobs: 3 })
    const expected = (theirs.completion_probabilities ?? []).slice(0, logprobs.length)
    expect(logprobs.length).toBe(6)
    for (const [index, { token, top }] of logprobs.entries()) {
      expect(token?.token).toBe(expected[index]?.id)
      expect(token?.logprob).toBeCloseTo(expected[index]?.logprob ?? Number.NaN, 3)
      expect(top.map((entry) => entry.token)).toEqual(expected[index]?.top_logprobs.map(({ id }) => id))
    }
  })

  it('is another with another seed, and the same with the same', async () => {
    const request = { tokens: await chat('Tell me a story.'), temperature: 1, maxTokens: 16 }
    const one = await worker.answer({ ...request, seed: 7 })
    expect((await worker.answer({ ...request, seed: 7 })).text).toBe(one.text)
    expect((await worker.answer({ ...request, seed: 8 })).text).not.toBe(one.text)
    const largest = { ...request, seed: 0xffff_ffff }
    expect((await worker.answer(largest)).text).toBe((await worker.answer(largest)).text)
  })

  it('heeds a logit bias', async () => {
    const tokens = await chat(questions[0] ?? '')
    const [first] = (await worker.answer({ tokens, maxTokens: 1 })).tokens
    const biased = await worker.answer({ tokens, maxTokens: 1, logitBias: { [first ?? 0]: -100 } })
    expect(biased.tokens[0]).not.toBe(first)
  })

  it('is as long as the context allows and no longer', async () => {
    const tokens = Array.from({ length: 1020 }, (_, index) => 1000 + index)
    expect((await worker.answer({ tokens, maxTokens: 4 })).outputTokens).toBeGreaterThan(0)
    await expect(worker.answer({ tokens, maxTokens: 5 })).rejects.toMatchObject({ reason: 'context_length_exceeded' })
  })

  it('of several at once is what it is alone', async () => {
    const requests = await Promise.all(questions.map(async (question) => ({ tokens: await chat(question), maxTokens: 12 })))
    const alone = []
    for (const request of requests) alone.push((await worker.answer(request)).text)
    expect((await Promise.all(requests.map((request) => worker.answer(request)))).map(({ text }) => text)).toEqual(alone)
  })
})

describe('a grammar', () => {
  const json = String.raw`root ::= "{" space "\"city\"" space ":" space "\"" [A-Za-z ]{1,20} "\"" space "}"
space ::= " "?`

  it('holds from the beginning', async () => {
    const { text, reason } = await worker.answer({ tokens: await chat(questions[0] ?? ''), constraint: { grammar: json, after: [] } })
    expect(JSON.parse(text)).toEqual({ city: expect.stringMatching(/^[A-Za-z ]+$/) as string })
    expect(reason).toBe(FinishReason.STOP)
  })

  it('holds from where a text ends that the answer brings, also within a token', async () => {
    const tokens = await chat(questions[0] ?? '')
    const { text: free } = await worker.answer({ tokens })
    // "The capital of France is Paris.": once at the end of a token, once within one.
    for (const [mark, rest] of [['capital', ''], ['capi', 'tal']] as const) {
      const { text } = await worker.answer({ tokens, constraint: { grammar: `root ::= "${rest}!" [0-9]{3}`, after: [mark, 'not in there'] } })
      expect(text).toMatch(new RegExp(`^${free.slice(0, free.indexOf(mark))}capital![0-9]{3}$`))
    }
  })

  it('that would take the server hours, or all of its stack, is nothing to it', async () => {
    const tokens = await chat(questions[0] ?? '')
    const grammars = [`root ::= ${'[a-z]* '.repeat(40)} "!"`, 'root ::= ([a-z]{0,20} " "?){0,20}', `root ::= ${'('.repeat(150)}"a"${')'.repeat(150)}`]
    for (const grammar of grammars) {
      const { text } = await worker.answer({ tokens, maxTokens: 8, constraint: { grammar, after: [] } })
      expect(text).toMatch(/^[a-z ]+!?$/)
    }
    await expect(worker.answer({ tokens, constraint: { grammar: 'root ::= (', after: [] } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'invalid_grammar' })
    expect(worker.service.ready()).toBe(true)
  })

  it('may ask for what no token of the vocabulary is', async () => {
    const { text } = await worker.answer({ tokens: await chat(questions[0] ?? ''), constraint: { grammar: 'root ::= "漢😀🦉字"', after: [] } })
    expect(text).toBe('漢😀🦉字')
  })
})

it('reasoning ends when its budget is used up, and the answer goes on behind it', async () => {
  const tokens = await chat(questions[0] ?? '')
  const endTokens = Parse(Tokens, await server.post('/tokenize', { content: '</think>', add_special: false })).tokens
  const answer = await worker.answer({ tokens, reasoningBudget: { tokens: 3, begin: '', end: '</think>', endTokens } })
  const [reasoning = '', rest = ''] = answer.text.split('</think>')
  expect(Parse(Tokens, await server.post('/tokenize', { content: reasoning, add_special: false })).tokens.length).toBe(3)
  expect(rest.length).toBeGreaterThan(0)
  expect(answer.reasoningTokens).toBe(3 + endTokens.length)
})

describe('teams', () => {
  it('find their own prompt in the cache and never another team\'s', async () => {
    const tokens = await chat('Tell me a long story about an owl that reads books in the forest at night, and about its friends.')
    await endOf('one', tokens)
    expect((await endOf('one', tokens)).cachedTokens).toBe(tokens.length - 1)
    expect((await endOf('two', tokens)).cachedTokens).toBe(0)
    expect((await endOf('one', tokens)).cachedTokens).toBe(0)
    expect((await endOf('two', tokens, 1)).cachedTokens).toBe(0)
    expect((await endOf('', tokens, 1)).cachedTokens).toBe(0)
  })

  it('are apart also where the server keeps prompts outside of its slots, which is found out', async () => {
    const keeping = await startLlamaServer({ model, args: [...args, '--cache-ram', '256'] })
    const its = await startRemoteWorker(keeping.url, model)
    try {
      expect(its.lines.join('')).toContain('--cache-ram 0')
      if (its.engine.kind !== 'remote') throw new TypeError('not a remote engine')
      const tokens = await chat('Tell me a long story about an owl that reads books.')
      const request = { slot: 0, tokens, answered: 0, maxTokens: 2, sampling: greedySampling, forbidden: undefined, topLogprobs: undefined }
      for (const team of ['one', 'one', 'two', 'one']) {
        for await (const item of its.engine.complete({ ...request, team }, forever)) if ('ended' in item) expect(item.cachedTokens).toBe(0)
      }
    } finally {
      await its.close()
      await keeping.close()
    }
  })

  it('a server that may write prompts to files is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'intramuros-slots-'))
    const saving = await startLlamaServer({ model, args: [...args, '--slot-save-path', folder] })
    try {
      await expect(startRemoteWorker(saving.url, model)).rejects.toMatchObject({ reason: 'server_unsafe', message: expect.stringContaining('--slot-save-path') as string })
    } finally {
      await saving.close()
      await rm(folder, { recursive: true })
    }
  })
})

describe('a cancel', () => {
  it('while it decodes frees the slot of the server', async () => {
    const tokens = await chat('Tell me a story.')
    for (let round = 0; round < 6; round += 1) {
      const gone = new AbortController()
      const reading = (async () => {
        for await (const event of worker.generate({ tokens, maxTokens: 900 }, gone.signal)) if (event.event !== undefined) gone.abort()
      })()
      await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
      await vi.waitUntil(async () => (await busySlots()) === 0, 20_000)
    }
    expect((await worker.answer({ tokens, maxTokens: 2 })).outputTokens).toBe(2)
  })

  it('while it evaluates a long prompt, too', async () => {
    const tokens = Array.from({ length: 900 }, (_, index) => 2000 + index)
    const gone = new AbortController()
    const reading = (async () => {
      for await (const event of worker.generate({ tokens, maxTokens: 100 }, gone.signal)) void event
    })().catch((thrown: unknown) => thrown)
    await vi.waitUntil(async () => (await busySlots()) === 1, { timeout: 20_000, interval: 5 })
    gone.abort()
    expect(await reading).toMatchObject({ code: 'CANCELLED' })
    await vi.waitUntil(async () => (await busySlots()) === 0, 20_000)
  })
})

it('tells how busy the server is', async () => {
  const gone = new AbortController()
  const call = { requestId: 'w', peer: 'gateway', signal: gone.signal }
  const seen: number[] = []
  const watching = (async () => {
    for await (const { running } of worker.service.watch({}, call)) seen.push(running)
  })()
  // Somebody else's request, which this worker knows nothing of.
  const other = direct(await chat('Tell me a story.'), { n_predict: 200, ignore_eos: true })
  await vi.waitUntil(() => seen.includes(1), 60_000)
  await other
  await vi.waitUntil(() => seen.at(-1) === 0, 60_000)
  gone.abort()
  await watching
})

it('when the server dies, requests fail and the worker is not ready until it is back', async () => {
  const first = await startLlamaServer({ model, args })
  const its = await startRemoteWorker(first.url, model)
  let again: LlamaServer | undefined
  try {
    const tokens = await chat('Tell me a story.')
    const dying = (async () => {
      for await (const event of its.generate({ tokens, maxTokens: 900, logitBias: { 2: -100 } })) if (event.event !== undefined) void first.close()
    })()
    await expect(dying).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
    await vi.waitUntil(() => !its.service.ready(), 20_000)
    await expect(its.answer({ tokens })).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'engine_failed' })
    again = await startLlamaServer({ model, args: [...args, '--port', new URL(first.url).port] })
    await vi.waitUntil(() => its.service.ready(), 60_000)
    expect((await its.answer({ tokens, maxTokens: 3 })).outputTokens).toBe(3)
  } finally {
    await its.close()
    await first.close()
    await again?.close()
  }
})

it('a server of another model is refused', async () => {
  await expect(startRemoteWorker(server.url, await minilmModel())).rejects.toMatchObject({ reason: 'server_mismatch' })
})

it('embeds as the server does', async () => {
  const path = await minilmModel()
  const embedding = await startLlamaServer({ model: path, args: ['--embedding', '--metrics'] })
  const its = await startRemoteWorker(embedding.url, path)
  try {
    const Embeddings = Type.Object({ data: Type.Array(Type.Object({ embedding: Type.Array(Type.Number()) })) })
    for (const sentence of sentences.slice(0, 4)) {
      const whole = Parse(Tokens, await embedding.post('/tokenize', { content: sentence, add_special: true })).tokens
      const theirs = Parse(Embeddings, await embedding.post('/v1/embeddings', { input: sentence })).data[0]?.embedding ?? []
      // With and without the first and last token, which the model wants.
      const inputs = [{ tokens: whole }, { tokens: whole.slice(1, -1) }]
      const { embeddings } = await its.service.embed({ model: 'm', team: 'one', weight: 0, batch: false, inputs }, { requestId: 'r', peer: 'gateway', signal: forever })
      for (const { values } of embeddings) expect(cosine(values, theirs)).toBeGreaterThan(0.9999)
    }
  } finally {
    await its.close()
    await embedding.close()
  }
})

it('nothing of prompts and answers is in the log', async () => {
  await worker.answer({ tokens: await chat('Say canary-5f1c twice.') })
  expect(worker.lines.join('')).not.toMatch(/canary-5f1c|Paris|owl|story/)
})
