import { type ChatMessage, type Conversation, type Tool, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import { jinja2Functions } from './jinja-semantics.ts'

/** A conversation whose JSON has been read, as a chat template can be given it. */
export interface ParsedConversation {
  readonly messages: readonly ParsedMessage[]
  /** Those that the model sees. */
  readonly tools: readonly ParsedTool[]
  /** Further variables for the template. */
  readonly variables: Readonly<Record<string, unknown>>
  readonly addGenerationPrompt: boolean
}

export interface ParsedMessage {
  /** As the template knows it. */
  readonly role: string
  readonly content: string
  readonly reasoning: string
  readonly toolCalls: readonly ParsedCall[]
  readonly toolCallId: string
  readonly name: string
}

export interface ParsedCall {
  readonly id: string
  readonly name: string
  /** As the model wrote them. */
  readonly text: string
  /** What their JSON says; the text itself where it is no JSON. */
  readonly arguments: unknown
}

export interface ParsedTool {
  readonly name: string
  readonly description: string
  /** JSON Schema; undefined if none is known. */
  readonly parameters: unknown
  readonly strict: boolean
  /** Place of the parameters in the request's JSON. */
  readonly param: string
}

/**
 * The roles that reach the template. No others may: a role is part of what the template writes, so a client's own would be text
 * outside the guard.
 */
const roles: ReadonlyMap<string, string> = new Map([
  ['system', 'system'],
  ['developer', 'system'],
  ['user', 'user'],
  ['assistant', 'assistant'],
  ['tool', 'tool'],
])

/** What a client may not put in the place of. */
const reserved = new Set(['messages', 'tools', 'bos_token', 'eos_token', 'add_generation_prompt', 'refuse', 'format_now', 'raise_exception', 'strftime_now', 'check_time', ...Object.keys(jinja2Functions)])

const maxJsonDepth = 64

/** Reads the JSON in a conversation. Throws INVALID_ARGUMENT. */
export function parseConversation(conversation: Conversation): ParsedConversation {
  if (conversation.messages.length === 0) throw invalid('messages', 'There must be at least one message.')
  return {
    messages: conversation.messages.map(parseMessage),
    tools: conversation.toolChoice === ToolChoice.NONE ? [] : conversation.tools.map(parseTool),
    variables: variablesOf(conversation),
    addGenerationPrompt: conversation.addGenerationPrompt,
  }
}

function parseMessage({ role, content, reasoning, toolCalls, toolCallId, name }: ChatMessage, index: number): ParsedMessage {
  const known = roles.get(role)
  if (known === undefined) throw invalid(`messages[${index}].role`, 'A message has an unknown role.')
  return {
    role: known,
    content,
    reasoning,
    toolCalls: toolCalls.map((call, position) => ({
      id: call.id,
      name: call.name,
      text: call.arguments.trim() === '' ? '{}' : call.arguments,
      arguments: argumentsOf(call.arguments, `messages[${index}].tool_calls[${position}].function.arguments`),
    })),
    toolCallId,
    name,
  }
}

/** As a model wrote them, which may be no JSON. */
function argumentsOf(text: string, param: string): unknown {
  if (text.trim() === '') return {}
  try {
    const given = checkedDepth(JSON.parse(text), param)
    return longNumber.test(text) ? JSON.parse(text, exactly) : given
  } catch (thrown) {
    if (thrown instanceof ServiceError) throw thrown
    return text
  }
}

const longNumber = /[0-9]{16}/

/** An identifier of many digits is not to become another one: what a number can't hold stays the text that it was. */
function exactly(_name: string, value: unknown, context?: { source?: string }): unknown {
  const long = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
  return long ? (context?.source ?? value) : value
}

function parseTool({ name, description, parameters, strict, param }: Tool): ParsedTool {
  return { name, description, parameters: parameters === '' ? undefined : parsed(parameters, param), strict, param }
}

function variablesOf({ templateKwargs, reasoning, reasoningEffort }: Conversation): Record<string, unknown> {
  const given = templateKwargs === '' ? {} : parsed(templateKwargs, 'chat_template_kwargs')
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalid('chat_template_kwargs', "'chat_template_kwargs' must be an object.")
  const taken = Object.keys(given).find((name) => reserved.has(name))
  if (taken !== undefined) throw invalid('chat_template_kwargs', `'chat_template_kwargs' may not hold '${taken}'.`)
  return {
    // Templates have two names for it.
    ...(reasoning === undefined ? {} : { enable_thinking: reasoning, thinking: reasoning }),
    ...(reasoningEffort === '' ? {} : { reasoning_effort: reasoningEffort }),
    ...given,
  }
}

function parsed(json: string, param: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw invalid(param, `'${param}' is not valid JSON.`)
  }
  return checkedDepth(value, param)
}

/** Rendering is recursive, and nobody nests this deep. */
function checkedDepth(value: unknown, param: string): unknown {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxJsonDepth) throw invalid(param, `'${param}' is nested deeper than ${maxJsonDepth} levels.`)
    level = level.flatMap((inner): unknown[] => (typeof inner === 'object' && inner !== null ? Object.values(inner) : []))
  }
  return value
}

function invalid(param: string, message: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'invalid_value', message, { param })
}
