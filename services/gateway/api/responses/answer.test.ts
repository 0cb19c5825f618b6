import fc from 'fast-check'
import OpenAI from 'openai'
import { Check } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { OutputPart } from '../../../shared/dialects/output-part.ts'
import { ServiceError } from '../../../shared/errors.ts'
import type { Answer, ChoiceEnd } from '../../generation.ts'
import { grouped, randomParts } from '../../test-support/random-parts.ts'
import { type RecordingExchange, recordingExchange } from '../../test-support/recording-exchange.ts'
import { parseResponsesRequest } from './request.ts'
import { ResponseObject, ResponseStreamEvent } from './response.ts'

const base = { model: 'm', input: 'hi' }
const used = { input: 3, cached: 0, output: 5, reasoning: 1 }

interface StreamEvent {
  type: string
  sequence_number: number
  output_index?: number
  item_id?: string
  delta?: string
  logprobs?: unknown[]
  item?: { id: string; type: string; status: string }
  response?: { id: string; status: string; output: { id: string; status: string }[] }
}

interface Group {
  parts: readonly OutputPart[]
  logprobs: readonly TokenLogprob[]
}

interface Played {
  exchange: RecordingExchange
  /** What was written as a stream. */
  stream: string
}

function play(given: readonly (readonly OutputPart[] | Group)[], body: object, end: (answer: Answer, exchange: RecordingExchange) => void): Played {
  const exchange = recordingExchange()
  const played = { exchange, stream: '' }
  const { write } = exchange
  exchange.write = (text) => {
    played.stream += text
    return write(text)
  }
  exchange.fail = (error) => void exchange.write(exchange.errors.event(error, exchange.requestId))
  const answer = parseResponsesRequest({ ...base, ...body }).answer(exchange)
  answer.start([{ text: '', tokens: 3 }])
  for (const group of given) void ('logprobs' in group ? answer.parts(0, group.parts, group.logprobs) : answer.parts(0, group, []))
  end(answer, exchange)
  return played
}

function ending(finishReason: ChoiceEnd['finishReason']) {
  return (answer: Answer): void => {
    void answer.endChoice(0, { finishReason, stopSequence: undefined })
    answer.finish(used)
  }
}

function streamOf(groups: readonly (readonly OutputPart[] | Group)[], finishReason: ChoiceEnd['finishReason'] = 'stop', body: object = {}): StreamEvent[] {
  return play(groups, { ...body, stream: true }, ending(finishReason)).exchange.events() as StreamEvent[]
}

function wholeOf(groups: readonly (readonly OutputPart[] | Group)[], finishReason: ChoiceEnd['finishReason'] = 'stop', body: object = {}): unknown {
  return play(groups, body, ending(finishReason)).exchange.whole()
}

/** Ids and times are another each time. */
function withoutIds(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (name, inner: unknown) => (['id', 'call_id', 'item_id', 'created_at', 'completed_at'].includes(name) ? undefined : inner)))
}

/** What OpenAI's client makes of a stream. */
async function throughClient(stream: string): Promise<unknown> {
  const client = new OpenAI({ apiKey: 'none', maxRetries: 0, fetch: () => Promise.resolve(new Response(stream, { headers: { 'content-type': 'text/event-stream' } })) })
  return await client.responses.stream({ model: 'm', input: 'hi' }).finalResponse()
}

/** Without what the client adds. */
function asSent(value: unknown): unknown {
  return withoutIds(JSON.parse(JSON.stringify(value, (name, inner: unknown) => (['output_text', 'parsed', 'output_parsed', 'parsed_arguments'].includes(name) ? undefined : inner))))
}

function logprob(text: string): TokenLogprob {
  const entry = { token: 1, text: Buffer.from(text), logprob: -0.5 }
  return { token: entry, top: [entry] }
}

const reasoning: OutputPart = { kind: 'reasoning', text: 'hm' }
const text: OutputPart = { kind: 'text', text: 'a' }
const call: OutputPart[] = [{ kind: 'tool_call', index: 0, name: 'f' }, { kind: 'tool_arguments', index: 0, text: '{}' }]

describe('a stream', () => {
  test('has its events in the order of the API, numbered without gaps, in its shapes', () => {
    const events = streamOf([[reasoning], [text], call], 'tool_calls')
    expect(events.map(({ type }) => type.replace('response.', ''))).toEqual(
      [
        ['created', 'in_progress'],
        ['output_item.added', 'content_part.added', 'reasoning_text.delta', 'reasoning_text.done', 'content_part.done', 'output_item.done'],
        ['output_item.added', 'content_part.added', 'output_text.delta', 'output_text.done', 'content_part.done', 'output_item.done'],
        ['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.done', 'output_item.done'],
        ['completed'],
      ].flat(),
    )
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index))
    expect(play([[text]], { stream: true }, ending('stop')).exchange.ended).toBe(true)
  })

  test('names each event as its data does', () => {
    const { stream } = play([[reasoning, text], call], { stream: true }, ending('stop'))
    const names = stream.split('\n\n').slice(0, -1).map((event) => /^event: (.*)\ndata: (.*)$/.exec(event))
    expect(names.map((match) => match?.[1])).toEqual(names.map((match) => (JSON.parse(match?.[2] ?? '') as StreamEvent).type))
  })

  test('is numbered, valid and consistent for whatever the model says', () => {
    fc.assert(
      fc.property(randomParts, fc.array(fc.integer({ min: 1, max: 4 })), fc.constantFrom('stop' as const, 'length' as const), (parts, sizes, finishReason) => {
        const events = streamOf(grouped(parts, sizes), finishReason)
        expect(events.filter((event) => !Check(ResponseStreamEvent, event))).toEqual([])
        expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index))
        const last = events.at(-1)?.response
        expect(new Set(events.flatMap(({ response }) => response?.id ?? []))).toEqual(new Set([last?.id]))
        // One item is open at a time, and every event of it names it and its place.
        let open: string | undefined
        let added = 0
        for (const { type, item, item_id: id, output_index: index } of events) {
          if (type === 'response.output_item.added') {
            expect(open).toBeUndefined()
            expect(index).toBe(added)
            added += 1
            open = item?.id
          } else if (type === 'response.output_item.done') {
            expect(item?.id).toBe(open)
            open = undefined
          } else if (id !== undefined) {
            expect([id, index]).toEqual([open, added - 1])
          }
        }
        expect(open).toBeUndefined()
        expect(last?.output.map(({ id }) => id)).toEqual(events.flatMap(({ type, item }) => (type === 'response.output_item.done' ? [item?.id] : [])))
        expect(new Set(last?.output.map(({ id }) => id)).size).toBe(added)
      }),
    )
  })

  test('ends with what comes whole, whatever pieces it comes in', () => {
    fc.assert(
      fc.property(randomParts, fc.array(fc.integer({ min: 1, max: 4 })), fc.constantFrom('stop' as const, 'length' as const), (parts, sizes, finishReason) => {
        const whole = wholeOf([parts], finishReason)
        expect(Check(ResponseObject, whole)).toBe(true)
        expect(withoutIds(wholeOf(grouped(parts, sizes), finishReason))).toEqual(withoutIds(whole))
        expect(withoutIds(streamOf(grouped(parts, sizes), finishReason).at(-1)?.response)).toEqual(withoutIds(whole))
      }),
    )
  })

  test("is put together by OpenAI's client to what comes whole", async () => {
    await fc.assert(
      fc.asyncProperty(randomParts, fc.array(fc.integer({ min: 1, max: 4 })), async (parts, sizes) => {
        const { stream } = play(grouped(parts, sizes), { stream: true }, ending('stop'))
        expect(asSent(await throughClient(stream))).toEqual(withoutIds(wholeOf([parts])))
      }),
      { numRuns: 40 },
    )
  })

  test('that fails in the middle ends with an error of the next number, which the client throws', async () => {
    const failure = new ServiceError('UNAVAILABLE', 'engine_failed', 'The model failed.', { param: 'model' })
    const { exchange, stream } = play([[text]], { stream: true }, (_answer, { fail }) => fail(failure))
    const events = exchange.events() as StreamEvent[]
    expect(events.at(-1)).toEqual({ type: 'error', sequence_number: events.length - 1, code: 'engine_failed', message: 'The model failed.', param: 'model' })
    expect(Check(ResponseStreamEvent, events.at(-1))).toBe(true)
    await expect(throughClient(stream)).rejects.toMatchObject({ code: 'engine_failed', message: 'The model failed.' })
  })

  test('waits for a client that does not keep up', async () => {
    const exchange = recordingExchange()
    const answer = parseResponsesRequest({ ...base, stream: true }).answer(exchange)
    answer.start([{ text: '', tokens: 3 }])
    const drained = Promise.resolve()
    exchange.write = () => drained
    expect(answer.parts(0, [text], [])).toBe(drained)
    expect(answer.endChoice(0, { finishReason: 'stop', stopSequence: undefined })).toBe(drained)
    await drained
  })
})

describe('a response', () => {
  test('that the limit cut is incomplete, and so is the item it cut, and no other', () => {
    const cut = { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, completed_at: null, output: [{ status: 'completed' }, { status: 'incomplete' }] }
    expect(wholeOf([[reasoning], [text]], 'length')).toMatchObject(cut)
    const events = streamOf([[reasoning], [text]], 'length')
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: cut })
    expect(events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item?.status)).toEqual(['completed', 'incomplete'])
  })

  test('tells what it was asked with, and the tokens', () => {
    const asked = {
      instructions: 'Be brief.',
      max_output_tokens: 9,
      metadata: { a: 'b' },
      parallel_tool_calls: false,
      reasoning: { effort: 'low' },
      temperature: 0.5,
      top_p: 0.9,
      tool_choice: { type: 'function', name: 'f' },
      tools: [{ type: 'function', name: 'f', description: 'd', parameters: { type: 'object' }, strict: true }],
      text: { format: { type: 'json_schema', name: 'x', schema: {}, strict: true } },
    }
    expect(wholeOf([], 'stop', asked)).toMatchObject({ ...asked, status: 'completed', error: null, output: [], usage: { input_tokens: 3, output_tokens: 5, output_tokens_details: { reasoning_tokens: 1 }, total_tokens: 8 } })
    const [created] = streamOf([], 'stop', asked)
    expect(created).toMatchObject({ type: 'response.created', response: { ...asked, status: 'in_progress', output: [] } })
    expect(created?.response).not.toHaveProperty('usage')
  })

  test('has ids of its own for items and calls', () => {
    const { output } = wholeOf([[reasoning, text, ...call, { kind: 'tool_call', index: 1, name: 'g' }]]) as { output: { id: string; call_id?: string }[] }
    expect(output.map(({ id }) => id.replace(/_[0-9a-f]{32}$/, ''))).toEqual(['rs', 'msg', 'fc', 'fc'])
    const callIds = output.flatMap(({ call_id: id }) => (id === undefined ? [] : [id]))
    expect(new Set(callIds).size).toBe(2)
    expect(callIds.every((id) => /^call_[0-9a-f]{32}$/.test(id))).toBe(true)
  })

  test('tells log-probabilities with the text, whole and streamed', () => {
    const groups: Group[] = [
      { parts: [reasoning], logprobs: [logprob('hm')] },
      { parts: [reasoning, text], logprobs: [logprob('</think>'), logprob('a')] },
      { parts: [text], logprobs: [logprob('b')] },
      { parts: call, logprobs: [logprob('{}')] },
      { parts: [], logprobs: [logprob('\n')] },
    ]
    const told = [{ token: '</think>' }, { token: 'a' }, { token: 'b', logprob: -0.5, bytes: [98], top_logprobs: [{ token: 'b' }] }]
    const message = { type: 'message', content: [{ logprobs: told }] }
    expect(wholeOf(groups)).toMatchObject({ output: [{ type: 'reasoning' }, message, { type: 'function_call' }] })
    const events = streamOf(groups)
    expect(events.at(-1)).toMatchObject({ response: { output: [{ type: 'reasoning' }, message, { type: 'function_call' }] } })
    expect(events.filter(({ type }) => type === 'response.output_text.delta').flatMap(({ logprobs }) => logprobs)).toMatchObject(told)
    expect(events.filter((event) => !Check(ResponseStreamEvent, event))).toEqual([])
  })
})
