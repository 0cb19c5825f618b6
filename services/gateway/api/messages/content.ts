import Type, { type Static } from 'typebox'
import type { ChatMessage } from '../../../../proto/gen/intramuros/v1/tokenizer.ts'
import { invalid } from '../body.ts'
import { JsonObject } from '../format.ts'
import { ignored, nullable } from '../parameter.ts'

const cacheControl = { cache_control: ignored(Type.Unknown(), 'A hint for caches.') }

export const TextBlock = Type.Object({ type: Type.Literal('text'), text: Type.String(), ...cacheControl, citations: ignored(Type.Unknown(), 'As an answer has it.') })

const ToolUse = Type.Object({
  type: Type.Literal('tool_use'),
  id: Type.String({ maxLength: 256 }),
  name: Type.String({ minLength: 1, maxLength: 64 }),
  input: JsonObject,
  ...cacheControl,
  caller: ignored(Type.Unknown(), 'As an answer has it.'),
  toolset_name: ignored(Type.Unknown(), 'As an answer has it.'),
})

const ToolResult = Type.Object({
  type: Type.Literal('tool_result'),
  tool_use_id: Type.String({ maxLength: 256 }),
  content: nullable(Type.Union([Type.String(), Type.Array(TextBlock)]), 'Text, or blocks of it.'),
  is_error: nullable(Type.Boolean(), 'Told to the model as "Error: ".'),
  ...cacheControl,
})

const Thinking = Type.Object({ type: Type.Literal('thinking'), thinking: Type.String(), signature: ignored(Type.String(), 'Reasoning is not signed.') })
const RedactedThinking = Type.Object({ type: Type.Literal('redacted_thinking'), data: ignored(Type.String(), 'Other models\' reasoning; left out.') })

export const Message = Type.Object({
  role: Type.Enum(['user', 'assistant', 'system']),
  content: Type.Union([Type.String(), Type.Array(Type.Union([TextBlock, ToolUse, ToolResult, Thinking, RedactedThinking]))]),
})

type Block = Exclude<Static<typeof Message>['content'], string>[number]

/** One message becomes several where it holds results of tools, which are messages of their own to a chat template. */
export function chatMessages(messages: readonly Static<typeof Message>[]): ChatMessage[] {
  const names = new Map<string, string>()
  return messages.flatMap(({ role, content }, index) => {
    if (typeof content === 'string') return [{ ...empty(role), content }]
    const made: ChatMessage[] = []
    for (const [position, block] of content.entries()) {
      const place = `messages[${index}].content[${position}]`
      addBlock(made, role, block, place, names)
    }
    // A message of no blocks is a turn all the same.
    return made.length === 0 ? [empty(role)] : made
  })
}

function addBlock(made: ChatMessage[], role: string, block: Block, place: string, names: Map<string, string>): void {
  if (block.type === 'tool_result') {
    if (role !== 'user') throw misplaced(place, 'user')
    const text = typeof block.content === 'string' ? block.content : (block.content ?? []).map((part) => part.text).join('\n')
    made.push({ ...empty('tool'), content: block.is_error === true ? `Error: ${text}` : text, toolCallId: block.tool_use_id, name: names.get(block.tool_use_id) ?? '' })
    return
  }
  if (block.type !== 'text' && role !== 'assistant') throw misplaced(place, 'assistant')
  const last = made.at(-1)
  const message = last === undefined || last.role === 'tool' ? empty(role) : last
  if (message !== last) made.push(message)
  if (block.type === 'text') message.content += message.content === '' ? block.text : `\n${block.text}`
  else if (block.type === 'thinking') message.reasoning += block.thinking
  else if (block.type === 'tool_use') {
    names.set(block.id, block.name)
    message.toolCalls.push({ id: block.id, name: block.name, arguments: JSON.stringify(block.input) })
  }
}

function misplaced(place: string, role: string) {
  return invalid({ param: `${place}.type`, message: `'${place}' is only allowed in a message of the role "${role}".` })
}

function empty(role: string): ChatMessage {
  return { role, content: '', reasoning: '', toolCalls: [], toolCallId: '', name: '' }
}
