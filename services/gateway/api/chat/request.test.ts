import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ToolChoice } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../../../shared/errors.ts'
import { parseJson } from '../problem.ts'
import { neutralSampling } from '../sampling.ts'
import { refuseUnknown } from '../unknown.ts'
import { ChatBody, parseChatRequest } from './request.ts'

const messages = [{ role: 'user', content: 'hi' }]
const base = { model: 'm', messages }
const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } }

function refusal(body: unknown): ServiceError {
  try {
    parseChatRequest(body)
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown
    throw thrown
  }
  throw new Error('it was taken')
}

function generationOf(body: object) {
  return parseChatRequest({ ...base, ...body }).generation
}

function conversationOf(body: object) {
  const { prompt } = generationOf(body)
  if (prompt.$case !== 'conversation') throw new Error('no conversation')
  return prompt.value
}

describe('a chat request', () => {
  test('takes the defaults of the API', () => {
    const { generation, unknown } = parseChatRequest(base)
    expect(unknown).toEqual([])
    expect(generation).toMatchObject({ model: 'm', maxTokens: 0, choices: 1, stop: [], topLogprobs: undefined, format: undefined, stream: false })
    expect(generation.sampling).toEqual(neutralSampling())
    expect(conversationOf({})).toMatchObject({
      messages: [{ role: 'user', content: 'hi', reasoning: '', toolCalls: [], toolCallId: '', name: '' }],
      tools: [],
      toolChoice: ToolChoice.AUTO,
      addGenerationPrompt: true,
    })
  })

  test('takes every parameter it has, nulls as absent, parts as text', () => {
    const generation = generationOf({
      messages: [{ role: 'developer', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }], name: 'x' }],
      temperature: 0,
      top_p: 0.5,
      top_k: 3,
      min_p: 0.1,
      presence_penalty: 1,
      frequency_penalty: -1,
      repeat_penalty: 1.1,
      repeat_last_n: 8,
      logit_bias: { 7: -100 },
      max_completion_tokens: 7,
      max_tokens: null,
      stop: 'END',
      seed: 42,
      n: 3,
      stream: true,
      stream_options: { include_usage: true },
      logprobs: true,
      top_logprobs: 2,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' }, strict: true } },
      prompt_cache_key: 'k',
      user: 'u',
      metadata: { a: 'b' },
      store: false,
    })
    expect(generation).toMatchObject({
      maxTokens: 7,
      stop: ['END'],
      choices: 3,
      stream: true,
      topLogprobs: 2,
      cacheKey: 'k',
      format: { format: { $case: 'jsonSchema', value: '{"type":"object"}' }, param: 'response_format.json_schema.schema' },
      sampling: { temperature: 0, topP: 0.5, topK: 3, minP: 0.1, presencePenalty: 1, frequencyPenalty: -1, repeatPenalty: 1.1, penaltyWindow: 8, logitBias: { 7: -100 }, seed: 42 },
    })
    expect(generation.prompt).toMatchObject({ value: { messages: [{ role: 'developer', content: 'a\nb', name: 'x' }] } })
  })

  test('takes tools, calls and their results, and reasoning', () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }
    const conversation = conversationOf({
      messages: [...messages, { role: 'assistant', content: null, tool_calls: [call], reasoning_content: 'hm' }, { role: 'tool', tool_call_id: 'c1', content: 'r' }],
      tools: [{ ...tool, function: { ...tool.function, description: 'd', strict: true } }],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: false,
      reasoning_effort: 'low',
      thinking_budget_tokens: 9,
      chat_template_kwargs: { enable_thinking: false },
    })
    expect(conversation).toMatchObject({
      messages: [{}, { content: '', reasoning: 'hm', toolCalls: [{ id: 'c1', name: 'f', arguments: '{"a":1}' }] }, { role: 'tool', toolCallId: 'c1', content: 'r' }],
      tools: [{ name: 'f', description: 'd', parameters: '{"type":"object"}', strict: true }],
      toolChoice: ToolChoice.NAMED,
      toolName: 'f',
      singleToolCall: true,
      reasoning: true,
      reasoningEffort: 'low',
      reasoningBudget: 9,
      templateKwargs: '{"enable_thinking":false}',
    })
    expect(conversationOf({ reasoning_effort: 'none' })).toMatchObject({ reasoning: false, reasoningEffort: '' })
    expect(conversationOf({ tools: [tool], tool_choice: 'required' }).toolChoice).toBe(ToolChoice.REQUIRED)
    expect(conversationOf({ tools: [tool], tool_choice: 'none' }).toolChoice).toBe(ToolChoice.NONE)
  })

  test.each([
    [{ messages }, 'model'],
    [{ model: 'm' }, 'messages'],
    [{ ...base, model: 5 }, 'model'],
    [{ ...base, model: '' }, 'model'],
    [{ ...base, messages: [] }, 'messages'],
    [{ ...base, messages: 'hi' }, 'messages'],
    [{ ...base, messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role'],
    [{ ...base, messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ ...base, messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
    [{ ...base, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }, 'messages[0].content[0].type'],
    [{ ...base, temperature: 'hot' }, 'temperature'],
    [{ ...base, temperature: 2.1 }, 'temperature'],
    [{ ...base, top_p: -1 }, 'top_p'],
    [{ ...base, max_tokens: 0 }, 'max_tokens'],
    [{ ...base, max_tokens: 1e300 }, 'max_tokens'],
    [{ ...base, stop: Array.from({ length: 17 }, String) }, 'stop'],
    [{ ...base, stop: '' }, 'stop'],
    [{ ...base, seed: 1.5 }, 'seed'],
    [{ ...base, stream: 'yes' }, 'stream'],
    [{ ...base, stream_options: { include_usage: true } }, 'stream_options'],
    [{ ...base, n: 17 }, 'n'],
    [{ ...base, tools: [{ type: 'function' }] }, 'tools[0].function'],
    [{ ...base, tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ ...base, tools: [tool, tool] }, 'tools[1].function.name'],
    [{ ...base, tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools[0].function.name'],
    [{ ...base, tool_choice: 'required' }, 'tool_choice'],
    [{ ...base, tools: [tool], tool_choice: { type: 'function', function: { name: 'g' } } }, 'tool_choice.function.name'],
    [{ ...base, response_format: { type: 'xml' } }, 'response_format.type'],
    [{ ...base, response_format: { type: 'json_object' }, grammar: 'root ::= "a"' }, 'grammar'],
    [{ ...base, logprobs: 5 }, 'logprobs'],
    [{ ...base, top_logprobs: 2 }, 'top_logprobs'],
    [{ ...base, logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ ...base, logit_bias: { the: 1 } }, 'logit_bias'],
    [{ ...base, logit_bias: { 1: 101 } }, 'logit_bias[1]'],
    [{ ...base, presence_penalty: 3 }, 'presence_penalty'],
    [{ ...base, repeat_penalty: 0 }, 'repeat_penalty'],
    [{ ...base, store: true }, 'store'],
    [{ ...base, web_search_options: {} }, 'web_search_options'],
    [{ ...base, guided_json: {} }, 'guided_json'],
    [{ ...base, chat_template: 'x' }, 'chat_template'],
    [{ ...base, repeat_penalty: 1.5, repetition_penalty: 2 }, 'repetition_penalty'],
    [{ ...base, response_format: { type: 'json_schema' } }, 'response_format.json_schema'],
    [{ ...base, stop: ['a', null] }, 'stop[1]'],
    [{ ...base, ignore_eos: true }, 'ignore_eos'],
    [{ ...base, stream: true, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
    [{ ...base, messages: [{ role: 'user', content: 'x', audio: { id: 'a' } }] }, 'messages[0].audio'],
    [{ ...base, messages: [{ role: 'user', content: null }] }, 'messages[0].content'],
    [{ ...base, messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].tool_call_id'],
    [{ ...base, messages: [{ role: 'user', content: 'x', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '' } }] }] }, 'messages[0].tool_calls'],
  ])('is refused with its parameter: %j', (body, param) => {
    expect(refusal(body)).toMatchObject({ code: 'INVALID_ARGUMENT', param })
  })

  test('tells what is allowed and what type was sent, but no value', () => {
    expect(refusal({ ...base, temperature: 'canary' }).message).toBe(`Invalid value for 'temperature': it must be a number from 0 to 2 or null, but a string was sent.`)
    expect(refusal('canary').message).toBe('The body must be an object, but it is a string.')
    expect(refusal({ ...base, logit_bias: { 5: 101 } }).message).toContain('must be a number from -100 to 100')
    expect(refusal({ ...base, logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 0])) }).message).toContain('an object of at most 1024 names')
    expect(refusal({ ...base, response_format: { type: 'xml' } }).message).toContain('it must be "text" or "json_object" or "json_schema"')
    expect(refusal({ ...base, messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }).message).toContain('it must be "text" or "refusal"')
    expect(refusal({ ...base, stop: [''] }).message).toContain('must be a string from 1 to 1024 characters')
  })

  test('takes parameters that ask for nothing, and names those that it does not know, wherever they are', () => {
    const parsed = parseChatRequest({
      ...base,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'hi', odd: 1 }], strange: 2 }],
      n: 1,
      presence_penalty: 0,
      tools: [],
      response_format: { type: 'text' },
      user: 'u',
      store: false,
      mirostat: 0,
      stop_token_ids: [],
      logit_bias: {},
      mystery: 1,
      'bad name\r\n': 2,
    })
    expect(parsed.unknown).toEqual(['messages[0].content[0].odd', 'messages[0].strange', 'mystery', 'bad name\r\n'])
  })

  test('a team that takes no unknown parameters is told what may have been meant', () => {
    expect(refuseUnknown(ChatBody, ['temprature'])).toMatchObject({ reason: 'unknown_parameter', param: 'temprature', message: expect.stringContaining("Did you mean 'temperature'?") as string })
    expect(refuseUnknown(ChatBody, ['messages[3].tool_call']).message).toContain("Did you mean 'messages[3].tool_calls'?")
    expect(refuseUnknown(ChatBody, ['zzzzzz']).message).toContain('Leave it out.')
  })

  test('gives any seed 32 bits', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (seed) => {
        const folded = generationOf({ seed }).sampling.seed ?? -1
        expect(Number.isInteger(folded) && folded >= 0 && folded < 2 ** 32).toBe(true)
      }),
    )
    expect(generationOf({ seed: 42 }).sampling.seed).toBe(42)
    const seeds = Array.from({ length: 200 }, (_, index) => generationOf({ seed: index - 100 }).sampling.seed)
    expect(new Set(seeds).size).toBe(200)
  })

  test('is parsed or refused as INVALID_ARGUMENT, whatever JSON comes, and no string of it is in the error', () => {
    const canary = 'c4n4ry'
    const value = fc.anything({ values: [fc.constant(canary), fc.integer(), fc.double(), fc.boolean(), fc.constant(null)], key: fc.constantFrom(...Object.keys(ChatBody.properties), 'role', 'content', 'type', 'function', 'name') })
    fc.assert(
      fc.property(value, (json) => {
        try {
          parseChatRequest(json)
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ServiceError)
          expect((thrown as ServiceError).code).toBe('INVALID_ARGUMENT')
          expect(String(thrown)).not.toContain(canary)
        }
      }),
    )
  })
})

describe('a body', () => {
  test.each([
    ['{"model": "canary', 'character 17'],
    ['', 'empty'],
    ['{"a": canary}', 'malformed'],
  ])('that is not JSON is refused with its place only: %j', (text, where) => {
    expect(() => parseJson(Buffer.from(text))).toThrow(where)
    expect(() => parseJson(Buffer.from(text))).not.toThrow('canary')
  })

  test('that is not UTF-8 is refused', () => {
    expect(() => parseJson(Buffer.from([0x22, 0xff, 0xfe, 0x22]))).toThrow('UTF-8')
  })

  test('nested deeply neither crashes nor passes', () => {
    expect(() => parseJson(Buffer.from(`${'['.repeat(200_000)}${']'.repeat(200_000)}`))).toThrow('nested deeper than 512')
    expect(() => parseJson(Buffer.from(`${'{"a":'.repeat(513)}1${'}'.repeat(513)}`))).toThrow('nested deeper than 512')
    expect(parseJson(Buffer.from(`${'{"a":'.repeat(512)}"\\"[[[[${'['.repeat(600)}"${'}'.repeat(512)}`))).toBeTypeOf('object')
  })
})
