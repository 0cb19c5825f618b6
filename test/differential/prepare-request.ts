import { type PrepareRequest, ToolChoice } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Conversation } from './conversations.ts'

/** The conversation as the gateway hands it to the tokenizer. */
export function prepareRequest(model: string, { messages, tools = [], kwargs = {} }: Conversation): PrepareRequest {
  const { enable_thinking: reasoning, ...others } = kwargs
  return {
    model,
    prompt: {
      $case: 'conversation',
      value: {
        messages: messages.map((message) => ({
          role: message.role,
          content: message.content,
          reasoning: message.reasoning_content ?? '',
          toolCalls: (message.tool_calls ?? []).map(({ id, function: { name, arguments: args } }) => ({ id, name, arguments: args })),
          toolCallId: message.tool_call_id ?? '',
          name: '',
        })),
        tools: tools.map(({ function: { name, description, parameters } }, index) => ({
          name,
          description,
          parameters: JSON.stringify(parameters),
          strict: false,
          param: `tools[${index}].function`,
        })),
        toolChoice: ToolChoice.AUTO,
        toolName: '',
        singleToolCall: false,
        templateKwargs: JSON.stringify(others),
        reasoning: typeof reasoning === 'boolean' ? reasoning : undefined,
        reasoningEffort: '',
        reasoningBudget: undefined,
        addGenerationPrompt: true,
      },
    },
    maxTokens: 0,
    format: undefined,
    wantText: true,
    anyLength: false,
  }
}
