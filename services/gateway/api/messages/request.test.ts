import { describe, expect, test } from 'vitest'
import { ToolChoice } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../../../shared/errors.ts'
import { neutralSampling } from '../sampling.ts'
import { parseCountTokens, parseMessagesRequest } from './request.ts'

const messages = [{ role: 'user', content: 'hi' }]
const base = { model: 'm', max_tokens: 9, messages }
const tool = { name: 'f', input_schema: { type: 'object' } }

function refusal(body: unknown): ServiceError {
  try {
    parseMessagesRequest(body)
  } catch (thrown) {
    if (thrown instanceof ServiceError) return thrown
    throw thrown
  }
  throw new Error('it was taken')
}

function generationOf(body: object) {
  return parseMessagesRequest({ ...base, ...body }).generation
}

function conversationOf(body: object) {
  const { prompt } = generationOf(body)
  if (prompt.$case !== 'conversation') throw new Error('no conversation')
  return prompt.value
}

describe('the messages', () => {
  test('have blocks of every kind; results of tools are messages of their own', () => {
    const given = [
      { role: 'user', content: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }, { type: 'text', text: 'b', citations: null }] },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: '' },
          { type: 'redacted_thinking', data: 'x' },
          { type: 'text', text: 'c' },
          { type: 'tool_use', id: 't1', name: 'f', input: { x: 1 }, caller: { type: 'direct' } },
          { type: 'tool_use', id: 't2', name: 'g', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't1', is_error: true, content: [{ type: 'text', text: 'r' }, { type: 'text', text: 's' }] },
          { type: 'tool_result', tool_use_id: 't2' },
          { type: 'text', text: 'd' },
        ],
      },
      { role: 'system', content: [{ type: 'text', text: 'e' }] },
    ]
    expect(conversationOf({ messages: given }).messages).toMatchObject([
      { role: 'user', content: 'a\nb' },
      {
        role: 'assistant',
        content: 'c',
        reasoning: 'hm',
        toolCalls: [
          { id: 't1', name: 'f', arguments: '{"x":1}' },
          { id: 't2', name: 'g', arguments: '{}' },
        ],
      },
      { role: 'tool', content: 'Error: r\ns', toolCallId: 't1', name: 'f' },
      { role: 'tool', content: '', toolCallId: 't2', name: 'g' },
      { role: 'user', content: 'd' },
      { role: 'system', content: 'e' },
    ])
    expect(parseMessagesRequest({ ...base, messages: given }).unknown).toEqual([])
  })

  test.each([[[]], [[{ type: 'redacted_thinking', data: 'x' }]]])('that hold nothing that is told are still turns: %j', (content) => {
    const given = [...messages, { role: 'assistant', content }, ...messages]
    expect(conversationOf({ messages: given }).messages).toMatchObject([{ role: 'user' }, { role: 'assistant', content: '', reasoning: '', toolCalls: [] }, { role: 'user' }])
  })

  test.each([
    ['S', 'S'],
    [[{ type: 'text', text: 'S' }, { type: 'text', text: 'T', cache_control: { type: 'ephemeral' } }], 'S\nT'],
  ])('follow the system prompt: %j', (system, content) => {
    expect(conversationOf({ system }).messages).toMatchObject([{ role: 'system', content }, { role: 'user', content: 'hi' }])
  })

  test.each([['', []], ['nothing', null]])('follow no system prompt where it is %s', (_, system) => {
    expect(conversationOf({ system }).messages).toMatchObject(messages)
  })
})

test('neutral values ask for nothing', () => {
  const asNothing = {
    cache_control: { type: 'ephemeral' },
    container: null,
    context_management: null,
    inference_geo: null,
    mcp_servers: [],
    metadata: { user_id: 'anne' },
    output_config: {},
    output_format: null,
    service_tier: 'auto',
    speed: 'standard',
    stop_sequences: [],
    stream: false,
    system: '',
    temperature: 1,
    tool_choice: { type: 'auto' },
    tools: [],
    top_k: 0,
    top_p: 1,
  }
  expect(parseMessagesRequest({ ...base, ...asNothing })).toMatchObject({ unknown: [] })
  expect(generationOf(asNothing)).toEqual(generationOf({}))
  expect(generationOf({})).toMatchObject({ sampling: neutralSampling(), maxTokens: 9, choices: 1, stop: [], stream: false })
  expect(generationOf({})).toMatchObject({ topLogprobs: undefined, format: undefined })
})

test('sampling, limits and formats reach the generation', () => {
  expect(generationOf({ temperature: 0.5, top_k: 3, top_p: 0.9, stop_sequences: ['x'], stream: true, output_config: { format: { type: 'json_schema', schema: { type: 'array' } } } })).toMatchObject({
    maxTokens: 9,
    stop: ['x'],
    stream: true,
    sampling: { ...neutralSampling(), temperature: 0.5, topK: 3, topP: 0.9 },
    format: { format: { $case: 'jsonSchema', value: '{"type":"array"}' }, param: 'output_config.format.schema' },
  })
  expect(generationOf({ top_p: 0 }).sampling).toMatchObject({ temperature: 0, topP: 1 })
})

test.each([
  [undefined, { toolChoice: ToolChoice.AUTO, toolName: '', singleToolCall: false }],
  // What another kind of choice would need means nothing here.
  [{ type: 'auto', name: 'f', disable_parallel_tool_use: true }, { toolChoice: ToolChoice.AUTO, toolName: '', singleToolCall: true }],
  [{ type: 'none' }, { toolChoice: ToolChoice.NONE, singleToolCall: false }],
  [{ type: 'any', disable_parallel_tool_use: true }, { toolChoice: ToolChoice.REQUIRED, singleToolCall: true }],
  [{ type: 'tool', name: 'f' }, { toolChoice: ToolChoice.NAMED, toolName: 'f', singleToolCall: false }],
])('tools and their choice: %j', (choice, expected) => {
  const { tools, ...conversation } = conversationOf({ tools: [{ ...tool, description: 'd', strict: true }, { ...tool, name: 'g', type: 'custom' }], tool_choice: choice ?? null })
  expect(conversation).toMatchObject(expected)
  expect(tools).toEqual([
    { name: 'f', description: 'd', parameters: '{"type":"object"}', strict: true, param: 'tools[0].input_schema' },
    { name: 'g', description: '', parameters: '{"type":"object"}', strict: false, param: 'tools[1].input_schema' },
  ])
})

test('thinking, its budget, and effort', () => {
  expect(conversationOf({})).not.toHaveProperty('reasoning')
  expect(conversationOf({ thinking: { type: 'disabled' } })).toMatchObject({ reasoning: false })
  expect(conversationOf({ thinking: { type: 'adaptive' } })).toMatchObject({ reasoning: true })
  expect(conversationOf({ thinking: { type: 'adaptive' } })).not.toHaveProperty('reasoningBudget')
  expect(conversationOf({ thinking: { type: 'enabled', budget_tokens: 1024 } })).toMatchObject({ reasoning: true, reasoningBudget: 1024 })
  expect(conversationOf({ output_config: { effort: 'low' } })).toMatchObject({ reasoningEffort: 'low' })
})

test('unknown names are told with their places', () => {
  const body = { ...base, odd: 1, system: [{ type: 'text', text: 'a', odd: 1 }], tools: [{ ...tool, odd: 1 }], messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: 'r', odd: 1 }], odd: 1 }] }
  expect(new Set(parseMessagesRequest(body).unknown)).toEqual(new Set(['odd', 'system[0].odd', 'tools[0].odd', 'messages[0].odd', 'messages[0].content[0].odd']))
})

const user = (...content: object[]) => ({ ...base, messages: [{ role: 'user', content }] })

test.each([
  [{ max_tokens: 9, messages }, 'model'],
  [{ model: 'm', messages }, 'max_tokens'],
  [{ model: 'm', max_tokens: 9 }, 'messages'],
  [{ ...base, max_tokens: 0 }, 'max_tokens'],
  [{ ...base, messages: [] }, 'messages'],
  [{ ...base, messages: [{ role: 'tool', content: 'a' }] }, 'messages[0].role'],
  [{ ...base, messages: [{ role: 'user' }] }, 'messages[0].content'],
  [{ ...base, messages: [...messages, { role: 'assistant', content: 'I' }] }, 'messages[1]'],
  [user({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } }), 'messages[0].content[0].type'],
  [user({ type: 'document', source: { type: 'text', media_type: 'text/plain', data: '' } }), 'messages[0].content[0].type'],
  [user({ type: 'text', text: 'a' }, { type: 'search_result', source: 'x', title: 'x', content: [] }), 'messages[0].content[1].type'],
  [user({ type: 'tool_result', tool_use_id: 'x', content: [{ type: 'image', source: {} }] }), 'messages[0].content[0].content[0].type'],
  [user({ type: 'tool_use', id: 'x', name: 'f', input: {} }), 'messages[0].content[0].type'],
  [user({ type: 'thinking', thinking: 'x', signature: '' }), 'messages[0].content[0].type'],
  [{ ...base, messages: [{ role: 'assistant', content: [{ type: 'tool_result', tool_use_id: 'x' }] }, ...messages] }, 'messages[0].content[0].type'],
  [{ ...base, messages: [{ role: 'assistant', content: [{ type: 'server_tool_use', id: 'x', name: 'web_search', input: {} }] }, ...messages] }, 'messages[0].content[0].type'],
  [{ ...base, system: [{ type: 'image', source: {} }] }, 'system[0].type'],
  [{ ...base, tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0].type'],
  [{ ...base, tools: [tool, { type: 'bash_20250124', name: 'bash' }] }, 'tools[1].type'],
  [{ ...base, tools: [{ name: 'f' }] }, 'tools[0].input_schema'],
  [{ ...base, tools: [{ ...tool, name: 'a b' }] }, 'tools[0].name'],
  [{ ...base, tools: [tool, tool] }, 'tools[1].name'],
  [{ ...base, tools: [{ ...tool, input_examples: [{}] }] }, 'tools[0].input_examples'],
  [{ ...base, tools: [{ ...tool, allowed_callers: ['code_execution_20250825'] }] }, 'tools[0].allowed_callers'],
  [{ ...base, tool_choice: { type: 'any' } }, 'tool_choice'],
  [{ ...base, tool_choice: 'auto' }, 'tool_choice'],
  [{ ...base, tools: [tool], tool_choice: { type: 'tool', name: 'g' } }, 'tool_choice.name'],
  [{ ...base, thinking: { type: 'enabled', budget_tokens: 0 } }, 'thinking.budget_tokens'],
  [{ ...base, output_config: { format: { type: 'grammar' } } }, 'output_config.format.type'],
  [{ ...base, output_config: { task_budget: { type: 'tokens', total: 9 } } }, 'output_config.task_budget'],
  [{ ...base, stop_sequences: [''] }, 'stop_sequences[0]'],
  [{ ...base, temperature: 3 }, 'temperature'],
  [{ ...base, service_tier: 'priority' }, 'service_tier'],
])('is refused with its place: %j', (body, param) => {
  expect(refusal(body)).toMatchObject({ code: 'INVALID_ARGUMENT', param })
})

test.each([
  ['mcp_servers', [{ type: 'url', url: 'x', name: 'x' }], /no remote tools/],
  ['container', 'c', /no containers/],
  ['container', { skills: [] }, /no containers/],
  ['context_management', { edits: [{ type: 'x' }] }, /never edited/],
  ['speed', 'fast', /one speed/],
  ['inference_geo', 'us', /stays here/],
  ['fallbacks', [{ model: 'x' }], /error/],
  ['thread', { id: 'x' }, /nothing is kept/],
  ['output_format', { type: 'json_schema', schema: {} }, /use output_config.format/],
  ['response_format', { type: 'json_object' }, /use output_config.format/],
  ['reasoning_effort', 'low', /use output_config.effort/],
  ['parallel_tool_calls', false, /use tool_choice/],
  ['stop', ['x'], /use stop_sequences/],
  ['n', 2, /chat\/completions/],
  ['seed', 1, /chat\/completions/],
  ['min_p', 0.1, /chat\/completions/],
])('%s is known, and refused with what to do: %j', (param, value, message) => {
  expect(refusal({ ...base, [param]: value })).toMatchObject({ reason: 'unsupported_parameter', param, message: expect.stringMatching(message) as string })
})

test('a refusal tells nothing of what was sent', () => {
  const secret = 'CANARY'
  for (const body of [user({ type: secret, text: secret }), { ...base, tool_choice: { type: secret } }, { ...base, tools: [{ ...tool, name: `${secret} ` }] }, { ...base, container: secret }, { ...base, stop_sequences: secret }]) {
    expect(refusal(body).message).not.toContain(secret)
  }
})

describe('a count of tokens', () => {
  test('has the prompt that a message would have', () => {
    const { max_tokens: _, ...counted } = { ...base, system: 'S', tools: [tool], tool_choice: { type: 'any' }, thinking: { type: 'disabled' } }
    expect(parseCountTokens(counted)).toMatchObject({ generation: { model: 'm', prompt: generationOf(counted).prompt, format: undefined }, unknown: [] })
  })

  test("counts a conversation that ends with the assistant's message, and begins no other", () => {
    const { prompt } = parseCountTokens({ model: 'm', messages: [...messages, { role: 'assistant', content: 'a' }] }).generation
    expect(prompt).toMatchObject({ $case: 'conversation', value: { addGenerationPrompt: false } })
    expect(conversationOf({})).toMatchObject({ addGenerationPrompt: true })
  })

  test('tells names that it does not know', () => {
    expect(parseCountTokens({ model: 'm', messages, max_tokens: 5 }).unknown).toEqual(['max_tokens'])
  })
})
