import type { ToolMarkup } from '../shared/dialects/tool-markup.ts'
import type { ParsedConversation, ParsedMessage } from './conversation.ts'

/**
 * For a template that knows no tools: the same conversation with the tools described in the system message, earlier calls as the
 * model is asked to write them, and their results as messages of the user.
 */
export function withToolInstructions(conversation: ParsedConversation, markup: ToolMarkup): ParsedConversation {
  const { messages, tools } = conversation
  const told = joined(messages.map((message) => ({ message: withoutTools(message, markup), result: message.role === 'tool' })))
  if (tools.length === 0) return { ...conversation, messages: told }
  const instructions = instructionsFor(tools, markup)
  const [first, ...rest] = told
  if (first?.role === 'system') return { ...conversation, tools: [], messages: [{ ...first, content: `${first.content}\n\n${instructions}` }, ...rest] }
  return { ...conversation, tools: [], messages: [{ role: 'system', content: instructions, reasoning: '', toolCalls: [], toolCallId: '', name: '' }, ...told] }
}

/** Results, and what the user says after them, are one message: many templates refuse two of the user's in a row. */
function joined(messages: readonly { message: ParsedMessage; result: boolean }[]): ParsedMessage[] {
  const made: ParsedMessage[] = []
  for (const [index, { message }] of messages.entries()) {
    const last = made.at(-1)
    if (last !== undefined && messages[index - 1]?.result === true && message.role === 'user') made[made.length - 1] = { ...last, content: `${last.content}\n${message.content}` }
    else made.push(message)
  }
  return made
}

function instructionsFor(tools: ParsedConversation['tools'], markup: ToolMarkup): string {
  const described = tools.map(({ name, description, parameters }) => JSON.stringify({ type: 'function', function: { name, description, parameters: parameters ?? {} } }))
  return [
    'You may call functions to answer. They are, each as JSON:',
    ...described,
    'To call one, answer with nothing but:',
    callText('NAME', 'ARGUMENTS', markup),
    'NAME is the name of the function, ARGUMENTS the JSON object of its arguments. If no function is needed, answer in text.',
  ].join('\n')
}

function withoutTools(message: ParsedMessage, markup: ToolMarkup): ParsedMessage {
  if (message.role === 'tool') {
    const { name, content } = message
    return { ...message, role: 'user', content: JSON.stringify({ tool_response: { ...(name === '' ? {} : { name }), content } }), toolCallId: '', name: '' }
  }
  if (message.toolCalls.length === 0) return message
  const calls = message.toolCalls.map((call) => callText(call.name, JSON.stringify(call.arguments), markup))
  return { ...message, content: [message.content, ...calls].filter((text) => text !== '').join('\n'), toolCalls: [] }
}

/** A call as models of this markup write it; `given` is the JSON of its arguments. */
function callText(name: string, given: string, { calls, call, form }: ToolMarkup): string {
  return `${calls.begin}${call.begin}${callBody(name, given, form)}${call.end}${calls.end}`
}

function callBody(name: string, given: string, form: ToolMarkup['form']): string {
  if (form.kind === 'unquoted') return `${form.prefix}${name}${given}`
  if (form.kind === 'named') return `${form.prefix}${name}${form.between}${given}${form.after}`
  const object = `{"name": ${JSON.stringify(name)}, "${form.argumentsKey}": ${given}}`
  return form.list ? `[${object}]` : object
}
