import Type, { type Static } from 'typebox'
import type { ChatMessage } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import { ignored, nullable } from '../parameter.ts'

const status = ignored(Type.String(), 'As an answer has it.')
const itemId = ignored(Type.String(), 'As an answer has it; nothing is kept under it.')

const Part = Type.Union([
  Type.Object({ type: Type.Literal('input_text'), text: Type.String(), prompt_cache_breakpoint: ignored(Type.Unknown(), 'A hint for caches.') }),
  Type.Object({
    type: Type.Literal('output_text'),
    text: Type.String(),
    annotations: ignored(Type.Unknown(), 'As an answer has it.'),
    logprobs: ignored(Type.Unknown(), 'As an answer has it.'),
    parsed: ignored(Type.Unknown(), "As OpenAI's SDK has it."),
  }),
  Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() }),
])

const InputMessage = Type.Object({
  type: Type.Optional(Type.Enum(['message'])),
  role: Type.Enum(['user', 'assistant', 'system', 'developer']),
  content: Type.Union([Type.String(), Type.Array(Part)]),
  id: itemId,
  status,
  phase: ignored(Type.String(), 'As an answer has it.'),
})

const FunctionCall = Type.Object({
  type: Type.Literal('function_call'),
  call_id: Type.String({ maxLength: 256 }),
  name: Type.String({ minLength: 1, maxLength: 64 }),
  arguments: Type.String(),
  id: itemId,
  status,
  parsed_arguments: ignored(Type.Unknown(), "As OpenAI's SDK has it."),
  caller: ignored(Type.Unknown(), 'As an answer has it.'),
})

const FunctionCallOutput = Type.Object({
  type: Type.Literal('function_call_output'),
  call_id: Type.String({ maxLength: 256 }),
  output: Type.Union([Type.String(), Type.Array(Part)]),
  id: itemId,
  status,
})

const ReasoningItem = Type.Object({
  type: Type.Literal('reasoning'),
  content: nullable(Type.Array(Type.Object({ type: Type.Literal('reasoning_text'), text: Type.String() })), 'The reasoning.'),
  summary: ignored(Type.Unknown(), 'There are no summaries.'),
  encrypted_content: ignored(Type.Unknown(), 'Reasoning is not encrypted.'),
  id: itemId,
  status,
})

export const InputItem = Type.Union([FunctionCall, FunctionCallOutput, ReasoningItem, InputMessage])

/** The items of a conversation as a chat template has them: reasoning, text and calls that follow each other are one message. */
export function messagesOf(items: readonly Static<typeof InputItem>[]): ChatMessage[] {
  const messages: ChatMessage[] = []
  const names = new Map<string, string>()
  /** The assistant's message that the next item goes on with. */
  let turn: ChatMessage | undefined

  function assistant(): ChatMessage {
    if (turn === undefined) {
      turn = empty('assistant')
      messages.push(turn)
    }
    return turn
  }

  for (const item of items) {
    if (item.type === 'reasoning') {
      const reasoning = (item.content ?? []).map(({ text }) => text).join('')
      // Reasoning of another server's model may be encrypted, or kept there: nothing of it is a turn.
      if (reasoning !== '') assistant().reasoning += reasoning
    } else if (item.type === 'function_call') {
      names.set(item.call_id, item.name)
      assistant().toolCalls.push({ id: item.call_id, name: item.name, arguments: item.arguments })
    } else if (item.type === 'function_call_output') {
      turn = undefined
      messages.push({ ...empty('tool'), content: textOf(item.output), toolCallId: item.call_id, name: names.get(item.call_id) ?? '' })
    } else if (item.role === 'assistant') {
      // Text after calls is another turn.
      if (turn !== undefined && (turn.toolCalls.length > 0 || turn.content !== '')) turn = undefined
      assistant().content += textOf(item.content)
    } else {
      turn = undefined
      messages.push({ ...empty(item.role), content: textOf(item.content) })
    }
  }
  return messages
}

function textOf(content: string | readonly Static<typeof Part>[]): string {
  return typeof content === 'string' ? content : content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('\n')
}

function empty(role: string): ChatMessage {
  return { role, content: '', reasoning: '', toolCalls: [], toolCallId: '', name: '' }
}
