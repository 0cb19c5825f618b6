import { describe, expect, test } from 'vitest'
import { type Dialect, dialectNamed, dialects } from '../shared/dialects/dialect.ts'
import { createOutputParser } from '../shared/dialects/output-parser.ts'
import type { ToolMarkup } from '../shared/dialects/tool-markup.ts'
import type { ParsedConversation, ParsedMessage } from './conversation.ts'
import { withToolInstructions } from './tool-instructions.ts'

const empty: ParsedMessage = { role: 'user', content: '', reasoning: '', toolCalls: [], toolCallId: '', name: '' }
const tool = { name: 'weather', description: 'Tells "the" weather.', parameters: { type: 'object' }, strict: false, param: '' }

function user(content: string): ParsedMessage {
  return { ...empty, content }
}
function result(content: string, name = ''): ParsedMessage {
  return { ...empty, role: 'tool', content, name, toolCallId: 'a' }
}
function calling(content: string): ParsedMessage {
  return { ...empty, role: 'assistant', content, toolCalls: [{ id: 'a', name: 'weather', text: '{ "city": "K\u00f6ln" }', arguments: { city: 'K\u00f6ln' } }] }
}

function markup(name: string): ToolMarkup {
  const tools = dialectNamed(name)?.tools
  if (tools === undefined) throw new Error(`no tools in ${name}`)
  return tools
}

function told(messages: ParsedMessage[], { tools = [tool], form = markup('generic') }: { tools?: ParsedConversation['tools']; form?: ToolMarkup } = {}): ParsedConversation {
  return withToolInstructions({ messages, tools, variables: {}, addGenerationPrompt: true }, form)
}

describe('tools', () => {
  test('are described in a system message of their own, or after the one there is', () => {
    const { messages, tools } = told([user('hi')])
    expect(tools).toEqual([])
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user'])
    expect(messages[0]?.content).toContain('{"type":"function","function":{"name":"weather","description":"Tells \\"the\\" weather.","parameters":{"type":"object"}}}')
    const own = told([{ ...empty, role: 'system', content: 'Be brief.' }, user('hi')]).messages
    expect(own.map(({ role }) => role)).toEqual(['system', 'user'])
    expect(own[0]?.content).toMatch(/^Be brief\.\n\nYou may call functions/)
  })

  test('that are not there are not spoken of', () => {
    expect(told([user('hi')], { tools: [] }).messages).toEqual([user('hi')])
  })
})

describe('calls and results', () => {
  test('are texts of the assistant and of the user', () => {
    const { messages } = told([user('a'), calling('Let me look.'), result('sunny', 'weather')])
    expect(messages.slice(1).map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
    expect(messages.flatMap(({ toolCalls }) => toolCalls)).toEqual([])
    expect(messages[2]?.content).toMatch(/^Let me look\.\n/)
    expect(messages[3]?.content).toBe('{"tool_response":{"name":"weather","content":"sunny"}}')
  })

  test('results, and what the user says after them, are one message', () => {
    const { messages } = told([user('a'), calling(''), result('one'), result('two'), user('b'), { ...empty, role: 'assistant', content: 'c' }, user('d'), user('e')], { tools: [] })
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user', 'user'])
    expect(messages[2]?.content).toBe('{"tool_response":{"content":"one"}}\n{"tool_response":{"content":"two"}}\nb')
  })

  const withTools = dialects.flatMap((dialect: Dialect) => (dialect.tools === undefined || dialect.harmony || dialect.tools.form.kind === 'unquoted' ? [] : [[dialect.name, dialect, dialect.tools] as const]))
  test.each(withTools)('an earlier call reads back as the call that it was: %s', (_, dialect, form) => {
    const { messages } = told([user('a'), calling('')], { tools: [], form })
    const parser = createOutputParser(dialect, { toolNames: ['weather'], reasoningOpen: false })
    const parts = [...parser.push(messages[1]?.content ?? ''), ...parser.end()]
    expect(parts.filter(({ kind }) => kind === 'tool_call')).toMatchObject([{ name: 'weather' }])
    const given = parts.map((part) => (part.kind === 'tool_arguments' ? part.text : '')).join('')
    expect(JSON.parse(given)).toEqual({ city: 'K\u00f6ln' })
  })
})
