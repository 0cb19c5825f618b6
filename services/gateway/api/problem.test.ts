import fc from 'fast-check'
import type { TSchema } from 'typebox'
import { Check } from 'typebox/value'
import { expect, test } from 'vitest'
import { ChatBody } from './chat/request.ts'
import { CompletionBody } from './completions/request.ts'
import { MessagesBody } from './messages/request.ts'
import { firstProblem } from './problem.ts'
import { ResponsesBody } from './responses/request.ts'

const chat = (content: unknown, more = {}) => ({ model: 'm', messages: [{ role: 'user', content: 'hi' }, { role: 'user', content }], ...more })
const responses = (...input: unknown[]) => ({ model: 'm', input: [{ role: 'user', content: 'hi' }, ...input] })
const messages = (...content: unknown[]) => ({ model: 'm', max_tokens: 9, messages: [{ role: 'user', content }] })

const table: [TSchema, unknown, string, string][] = [
  [ChatBody, 5, '', 'The body must be an object, but it is an integer.'],
  [ChatBody, {}, 'model', "'model' is missing."],
  [ChatBody, { model: 'm', messages: [] }, 'messages', "Invalid value for 'messages': it must be an array from 1 to 4096 items, but an empty array was sent."],
  [ChatBody, chat([{ type: 'text', text: 'a' }, { type: 'image_url', image_url: {} }]), 'messages[1].content[1].type', 'it must be "text" or "refusal", but a string was sent.'],
  [ChatBody, chat([{ type: 'text', text: 5 }]), 'messages[1].content[0].text', 'it must be a string, but an integer was sent.'],
  [ChatBody, chat([{ text: 'a' }]), 'messages[1].content[0].type', 'is missing.'],
  [ChatBody, chat(5), 'messages[1].content', 'it must be a string or an array of at least 1 items or null, but an integer was sent.'],
  [ChatBody, chat('a', { tool_choice: 'any' }), 'tool_choice', 'it must be one of "none", "auto", "required" or an object or null, but a string was sent.'],
  [ChatBody, chat('a', { tool_choice: { type: 'function', function: {} } }), 'tool_choice.function.name', 'is missing.'],
  [ChatBody, chat('a', { response_format: { type: 'xml' } }), 'response_format.type', 'it must be "text" or "json_object" or "json_schema", but a string was sent.'],
  [ChatBody, chat('a', { response_format: { type: 'json_schema' } }), 'response_format.json_schema', 'is missing.'],
  [CompletionBody, { model: 'm', prompt: [1, 2, 'a'] }, 'prompt[2]', 'it must be an integer'],
  [CompletionBody, { model: 'm', prompt: [null] }, 'prompt[0]', 'it must be a string or an integer'],
  [CompletionBody, { model: 'm', prompt: [[1], ['a']] }, 'prompt[1][0]', 'it must be an integer'],
  [ResponsesBody, responses({ type: 'item_reference', id: 'x' }), 'input[1].type', 'it must be "function_call" or "function_call_output" or "reasoning" or "message", but a string was sent.'],
  [ResponsesBody, responses({ role: 'user', content: [{ type: 'input_text', text: 'a' }, { type: 'input_image', image_url: 'x' }] }), 'input[1].content[1].type', 'it must be "input_text" or "output_text" or "refusal", but a string was sent.'],
  [ResponsesBody, responses({ role: 'tool', content: 'a' }), 'input[1].role', 'it must be one of "user", "assistant", "system", "developer", but a string was sent.'],
  [ResponsesBody, responses({ type: 'function_call', call_id: 'x', name: 'f' }), 'input[1].arguments', 'is missing.'],
  [ResponsesBody, { model: 'm', input: 'hi', metadata: { a: 1 } }, 'metadata.a', 'it must be a string of at most 512 characters, but an integer was sent.'],
  [MessagesBody, messages({ type: 'image', source: {} }), 'messages[0].content[0].type', 'it must be "text" or "tool_use" or "tool_result" or "thinking" or "redacted_thinking", but a string was sent.'],
  [MessagesBody, messages({ type: 'tool_result', tool_use_id: 'x', content: [{ type: 'image' }] }), 'messages[0].content[0].content[0].type', 'it must be "text", but a string was sent.'],
  [MessagesBody, { ...messages({ type: 'text', text: 'a' }), thinking: { type: 'enabled' } }, 'thinking.budget_tokens', 'is missing.'],
]

test.each(table)('tells the branch that was meant: %#', (schema, value, param, message) => {
  const problem = firstProblem(schema, value)
  expect(problem.param).toBe(param)
  expect(problem.message).toContain(message)
})

test('whatever was sent, the place is in the body, or missing from what is', () => {
  const schemas = fc.constantFrom<TSchema[]>(ChatBody, ResponsesBody, MessagesBody)
  const word = fc.constantFrom('model', 'messages', 'input', 'role', 'user', 'content', 'type', 'text', 'input_text', 'function', 'tools', 'tool_choice', 'name', 'max_tokens', 'hi')
  const { value: json } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 5 }, word, fc.integer(), fc.constant(null), fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(word, tie('value'), { maxKeys: 4 })),
  }))
  fc.assert(
    fc.property(schemas, fc.record({ model: fc.constant('m'), max_tokens: fc.constant(9), messages: json, input: json, tools: json, tool_choice: json }, { requiredKeys: [] }), (schema, body) => {
      fc.pre(!Check(schema, body))
      const { param, message } = firstProblem(schema, body)
      const steps = param.split(/[.[\]]+/).filter((step) => step !== '')
      let inner: unknown = body
      for (const [index, step] of steps.entries()) {
        const holds = typeof inner === 'object' && inner !== null && Object.hasOwn(inner, step)
        expect(holds || (index === steps.length - 1 && message === `'${param}' is missing.`)).toBe(true)
        inner = holds ? (inner as Record<string, unknown>)[step] : undefined
      }
    }),
    { numRuns: 500 },
  )
})
