import { describe, expect, test } from 'vitest'
import { type ChatMessage, type Conversation, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { parseConversation } from './conversation.ts'

const empty: ChatMessage = { role: 'user', content: 'hi', reasoning: '', toolCalls: [], toolCallId: '', name: '' }

function conversation(more: Partial<Conversation> = {}): Conversation {
  return { messages: [empty], tools: [], toolChoice: 0, toolName: '', singleToolCall: false, templateKwargs: '', reasoningEffort: '', addGenerationPrompt: true, ...more }
}

/** What a call's arguments become. */
function called(given: string) {
  const messages = [{ ...empty, role: 'assistant', toolCalls: [{ id: 'a', name: 'f', arguments: given }] }]
  return parseConversation(conversation({ messages })).messages[0]?.toolCalls[0]
}

describe('messages', () => {
  test('have known roles', () => {
    const roles = ['system', 'developer', 'user', 'assistant', 'tool'].map((role) => ({ ...empty, role }))
    expect(parseConversation(conversation({ messages: roles })).messages.map(({ role }) => role)).toEqual(['system', 'system', 'user', 'assistant', 'tool'])
    expect(() => parseConversation(conversation({ messages: [empty, { ...empty, role: 'canary' }] }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', param: 'messages[1].role' }))
    expect(() => parseConversation(conversation({ messages: [] }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', param: 'messages' }))
  })

  test("a call's arguments are its JSON, and its text stays", () => {
    expect(called('{"a": [1.50, null]}')).toMatchObject({ text: '{"a": [1.50, null]}', arguments: { a: [1.5, null] } })
    expect(called('not JSON {')).toMatchObject({ text: 'not JSON {', arguments: 'not JSON {' })
    expect(called(' ')).toMatchObject({ text: '{}', arguments: {} })
  })

  test('an identifier that a number can not hold does not become another one', () => {
    const given = '{"id": 12345678901234567890, "safe": 9007199254740991, "big": -9007199254740993, "float": 0.3333333333333333, "list": [18446744073709551615]}'
    expect(called(given)?.arguments).toEqual({
      id: '12345678901234567890',
      safe: 9_007_199_254_740_991,
      big: '-9007199254740993',
      float: 1 / 3,
      list: ['18446744073709551615'],
    })
  })

  test('calls that are nested too deep are refused', () => {
    expect(() => called(`${'['.repeat(66)}${']'.repeat(66)}`)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', param: 'messages[0].tool_calls[0].function.arguments' }))
    for (const inner of ['', '12345678901234567890']) {
      expect(() => called(`${'['.repeat(50_000)}${inner}${']'.repeat(50_000)}`)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    expect(called(`${'['.repeat(60)}${']'.repeat(60)}`)).toBeDefined()
  })
})

describe('tools', () => {
  const tool = { name: 'f', description: 'd', parameters: '{"type":"object"}', strict: true, param: 'tools[0].function.parameters' }

  test('are what the model sees', () => {
    expect(parseConversation(conversation({ tools: [tool, { ...tool, parameters: '' }] })).tools).toEqual([
      { ...tool, parameters: { type: 'object' } },
      { ...tool, parameters: undefined },
    ])
    expect(parseConversation(conversation({ tools: [tool], toolChoice: ToolChoice.NONE })).tools).toEqual([])
  })

  test('with parameters that are no JSON, or deep, are refused with their place', () => {
    for (const parameters of ['{', `{"a":${'['.repeat(70)}${']'.repeat(70)}}`]) {
      expect(() => parseConversation(conversation({ tools: [{ ...tool, parameters }] }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', param: tool.param }))
    }
  })
})

describe('template variables', () => {
  test('of the request and of its own', () => {
    expect(parseConversation(conversation({ reasoning: false, reasoningEffort: 'low', templateKwargs: '{"a": 1}' })).variables).toEqual({ enable_thinking: false, thinking: false, reasoning_effort: 'low', a: 1 })
    expect(parseConversation(conversation({ reasoning: true, templateKwargs: '{"enable_thinking": false}' })).variables).toMatchObject({ enable_thinking: false })
    expect(parseConversation(conversation()).variables).toEqual({})
  })

  test.each(['messages', 'tools', 'bos_token', 'add_generation_prompt', 'raise_exception', 'strip_characters', 'append_entry', 'check_time'])('may not be %s', (name) => {
    expect(() => parseConversation(conversation({ templateKwargs: JSON.stringify({ [name]: 1 }) }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', param: 'chat_template_kwargs' }))
  })

  test.each(['[]', 'null', '1', '{', '"a"'])('are an object, not %s', (templateKwargs) => {
    expect(() => parseConversation(conversation({ templateKwargs }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', param: 'chat_template_kwargs' }))
  })

  test('may have the names of prototypes', () => {
    const { variables } = parseConversation(conversation({ templateKwargs: '{"__proto__": {"polluted": true}, "constructor": 1}' }))
    expect(Object.keys(variables)).toEqual(['__proto__', 'constructor'])
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })
})
