import type { ParsedConversation, ParsedMessage } from './conversation.ts'
import type { TemplateFeatures } from './template-features.ts'

/** Asked for each text of the client's, always in the same order; what it answers stands in the place of the text. */
export type ClientText = (text: string) => string

/**
 * A conversation as chat templates expect it, in the shape of Hugging Face's transformers. Everything that a client has written goes
 * through `text`, names in its JSON too: the guard (special-text.ts) looks at these texts and renders them marked.
 */
export function templateVariables(conversation: ParsedConversation, features: TemplateFeatures, text: ClientText): Record<string, unknown> {
  const { messages, tools, variables, addGenerationPrompt } = conversation
  return {
    messages: messages.map((message) => templateMessage(message, features, text)),
    ...(tools.length === 0 || features.tools === undefined
      ? {}
      : {
          [features.tools]: tools.map(({ name, description, parameters }) => ({
            type: 'function',
            function: { name: text(name), description: text(description), parameters: mapped(parameters ?? noParameters, text) },
          })),
        }),
    ...mappedObject(variables, text),
    add_generation_prompt: addGenerationPrompt,
  }
}

const noParameters = { type: 'object', properties: {} }

function templateMessage({ role, content, reasoning, toolCalls, toolCallId, name }: ParsedMessage, features: TemplateFeatures, text: ClientText): object {
  const parts = features.reasoningParts && reasoning !== ''
  return {
    role,
    content: parts ? [{ type: 'thinking', thinking: text(reasoning) }, { type: 'text', text: text(content) }] : text(content),
    // gpt-oss's template knows it by the second name.
    ...(reasoning === '' || parts ? {} : { reasoning_content: text(reasoning), thinking: text(reasoning) }),
    ...(toolCalls.length === 0
      ? {}
      : {
          tool_calls: toolCalls.map((call) => ({
            id: text(call.id),
            type: 'function',
            function: { name: text(call.name), arguments: templateArguments(call.arguments, features, text) },
          })),
        }),
    ...(toolCallId === '' ? {} : { tool_call_id: text(toolCallId) }),
    ...(name === '' ? {} : { name: text(name) }),
  }
}

function templateArguments(given: unknown, { objectArguments }: TemplateFeatures, text: ClientText): unknown {
  if (objectArguments || typeof given === 'string') return mapped(given, text)
  return text(JSON.stringify(given))
}

function mapped(value: unknown, text: ClientText): unknown {
  if (typeof value === 'string') return text(value)
  if (Array.isArray(value)) return value.map((item) => mapped(item, text))
  return typeof value === 'object' && value !== null ? mappedObject(value, text) : value
}

/** fromEntries and not assignments, which would take "__proto__" for something else than a name. */
function mappedObject(value: object, text: ClientText): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [text(name), mapped(inner, text)]))
}
