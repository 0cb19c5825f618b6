import { describe, expect, test } from 'vitest'
import { type Conversation, type OutputFormat, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { type Dialect, dialectNamed, dialects } from '../shared/dialects/dialect.ts'
import { createAutomaton } from '../shared/grammar/automaton.ts'
import { answerFormat, textFormat } from './answer-format.ts'
import type { ParsedTool } from './conversation.ts'

function conversation(toolChoice: ToolChoice, toolName = ''): Conversation {
  return { messages: [], tools: [], toolChoice, toolName, singleToolCall: false, templateKwargs: '', reasoningEffort: '', addGenerationPrompt: true }
}

function dialect(name: string): Dialect {
  const found = dialectNamed(name)
  if (found === undefined) throw new Error(`no dialect ${name}`)
  return found
}

function tool(name: string, parameters: unknown, strict = false): ParsedTool {
  return { name, description: '', parameters, strict, param: `tools.${name}` }
}

const hermes = dialect('hermes')
const weather = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
/** Of fields whose names alone fill a grammar when there are many of it. */
const wide = { type: 'object', properties: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`field${i}`, { type: 'integer', minimum: 3, maximum: 50_000 }])) }
const schema: OutputFormat = { format: { $case: 'jsonSchema', value: JSON.stringify(weather) }, param: 'response_format.json_schema.schema' }

function answer(toolChoice: ToolChoice, tools: readonly ParsedTool[], more: { format?: OutputFormat; dialect?: Dialect; toolName?: string } = {}) {
  const { toolName, ...rest } = more
  return answerFormat({ conversation: conversation(toolChoice, toolName), tools, format: undefined, dialect: hermes, reasoning: 'none', ...rest })
}

describe('calls', () => {
  test('free ones are constrained once they begin', () => {
    const { grammar, grammarAfter } = answer(ToolChoice.AUTO, [tool('weather', weather)])
    expect(grammarAfter).toEqual(['<tool_call>'])
    expect(grammar).toContain('city')
    expect(() => createAutomaton(grammar)).not.toThrow()
  })

  test('demanded ones from the beginning, and of the named tool only', () => {
    const { grammar, grammarAfter } = answer(ToolChoice.NAMED, [tool('weather', weather), tool('search', weather)], { toolName: 'search' })
    expect(grammarAfter).toEqual([])
    expect(grammar).toContain('search')
    expect(grammar).not.toContain('weather')
  })

  test('can not be demanded of a model that knows none, or beside a format', () => {
    expect(() => answer(ToolChoice.REQUIRED, [tool('weather', weather)], { dialect: dialect('plain') })).toThrow(expect.objectContaining({ reason: 'unsupported_parameter', param: 'tool_choice' }))
    expect(() => answer(ToolChoice.REQUIRED, [tool('weather', weather)], { format: schema })).toThrow(expect.objectContaining({ reason: 'unsupported_parameter', param: schema.param }))
  })

  test.each(dialects.filter(({ tools }) => tools !== undefined).map((known) => [known.name, known] as const))('of 128 tools with many arguments make a grammar that can be used: %s', (_, known) => {
    const tools = Array.from({ length: 128 }, (__, i) => tool(`tool${i}`, wide))
    const { grammar } = answer(ToolChoice.AUTO, tools, { dialect: known })
    if (grammar !== '') expect(() => createAutomaton(grammar)).not.toThrow()
  })

  test('whose schemas must be kept to and are too large together are refused', () => {
    const tools = Array.from({ length: 128 }, (_, i) => tool(`tool${i}`, wide, true))
    expect(() => answer(ToolChoice.AUTO, tools)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', reason: 'unsupported_schema', param: 'tools' }))
    const free = tools.map((one) => ({ ...one, strict: false }))
    expect(() => answer(ToolChoice.REQUIRED, free)).toThrow(expect.objectContaining({ reason: 'unsupported_schema', param: 'tools' }))
    expect(answer(ToolChoice.NAMED, free, { toolName: 'tool7' }).grammar).toContain('field19')
  })

  test('strict ones keep their schemas beside free ones that are too large', () => {
    const tools = [tool('strict', weather, true), ...Array.from({ length: 128 }, (_, i) => tool(`tool${i}`, wide))]
    const { grammar } = answer(ToolChoice.AUTO, tools)
    expect(grammar).toContain('city')
    expect(grammar).toContain('tool127')
    expect(grammar).not.toContain('field19')
  })

  test('schemas that can not be kept to are refused where they must be, with their place', () => {
    const never = { type: 'object', properties: { a: { not: {} } } }
    expect(() => answer(ToolChoice.AUTO, [tool('f', never, true)])).toThrow(expect.objectContaining({ reason: 'unsupported_schema', param: 'tools.f', message: expect.stringContaining('/properties/a/not') as string }))
    expect(() => createAutomaton(answer(ToolChoice.AUTO, [tool('f', never)]).grammar)).not.toThrow()
  })
})

describe('formats', () => {
  test('hold beside tools: the answer keeps to the format or calls', () => {
    const { grammar, grammarAfter } = answer(ToolChoice.AUTO, [tool('search', weather)], { format: schema })
    expect(grammarAfter).toEqual([])
    expect(grammar).toContain('search')
    expect(() => createAutomaton(grammar)).not.toThrow()
  })

  test('that are too large are refused', () => {
    const large = JSON.stringify({ enum: Array.from({ length: 900 }, (_, i) => 'x'.repeat(400) + String(i)) })
    const format: OutputFormat = { format: { $case: 'jsonSchema', value: large }, param: 'p' }
    expect(() => textFormat(format)).toThrow(expect.objectContaining({ reason: 'unsupported_schema', param: 'p' }))
    expect(() => answer(ToolChoice.AUTO, [], { format })).toThrow(expect.objectContaining({ reason: 'unsupported_schema', param: 'p' }))
  })

  test('a grammar that fits by itself only is refused in its own name', () => {
    const rules = Array.from({ length: 15_000 }, (_, i) => `a${i}::="b"\n`)
    const value = `root::=a0\n${rules.join('')}`
    const format: OutputFormat = { format: { $case: 'grammar', value }, param: 'grammar' }
    expect(() => createAutomaton(value)).not.toThrow()
    expect(() => textFormat(format)).toThrow(expect.objectContaining({ reason: 'invalid_grammar', param: 'grammar' }))
  })

  test('that are no JSON are told so', () => {
    expect(() => textFormat({ format: { $case: 'jsonSchema', value: '{"a":' }, param: 'p' })).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', reason: 'invalid_value', param: 'p' }))
  })
})
