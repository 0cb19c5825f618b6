import { expect, test } from 'vitest'
import type { ParsedConversation } from './conversation.ts'
import type { TemplateFeatures } from './template-features.ts'
import { templateVariables, valueLength } from './template-variables.ts'

const features: TemplateFeatures = { tools: 'tools', objectArguments: true, system: true, reasoningParts: false }
const call = { id: 'a', name: 'f', text: '{ "b": 1.0 }', arguments: { b: 1 } }
const conversation: ParsedConversation = {
  messages: [
    { role: 'user', content: 'hi', reasoning: '', toolCalls: [], toolCallId: '', name: '' },
    { role: 'assistant', content: '', reasoning: 'hm', toolCalls: [call], toolCallId: '', name: '' },
    { role: 'tool', content: 'r', reasoning: '', toolCalls: [], toolCallId: 'a', name: 'f' },
  ],
  tools: [{ name: 'f', description: 'd', parameters: undefined, strict: false, param: '' }],
  variables: { c: ['v'] },
  addGenerationPrompt: true,
}

/** As objects: with what objects have of themselves beside. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

test("a conversation in transformers' shape", () => {
  expect(plain(templateVariables(conversation, features, (text) => text))).toMatchObject({
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: '', reasoning_content: 'hm', thinking: 'hm', tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: { b: 1 } } }] },
      { role: 'tool', content: 'r', tool_call_id: 'a', name: 'f' },
    ],
    tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object', properties: {} } } }],
    c: ['v'],
    add_generation_prompt: true,
  })
})

test('a template that takes text has the arguments as the model wrote them', () => {
  const variables = plain(templateVariables(conversation, { ...features, objectArguments: false }, (text) => text))
  expect(variables).toHaveProperty(['messages', 1, 'tool_calls', 0, 'function', 'arguments'], '{ "b": 1.0 }')
})

test('without tools there is no such variable', () => {
  expect(templateVariables({ ...conversation, tools: [] }, features, (text) => text)).not.toHaveProperty('tools')
})

test('the length of values is about that of their JSON', () => {
  expect(valueLength('four')).toBe(4)
  const value = { name: 'text', list: Array.from({ length: 1000 }, (_, i) => i), none: null, deep: [[{ a: true }]] }
  const json = JSON.stringify(value).length
  expect(valueLength(value)).toBeGreaterThan(json)
  expect(valueLength(value)).toBeLessThan(3 * json)
})
