import type { ParsedConversation, ParsedMessage } from './conversation.ts'
import { templateVariables } from './template-variables.ts'
import type { ChatTemplate } from './template.ts'

/** What a chat template can be given. */
export interface TemplateFeatures {
  /** The name under which it takes tools; undefined if it knows none. */
  readonly tools: 'tools' | 'xml_tools' | undefined
  /** It wants the arguments of calls as objects; else as JSON text. */
  readonly objectArguments: boolean
  /** It knows a system message. */
  readonly system: boolean
  /** It takes the reasoning of earlier messages as parts of their content, as Ministral 3's. */
  readonly reasoningParts: boolean
}

const plain: ParsedMessage = { role: 'user', content: 'Hello.', reasoning: '', toolCalls: [], toolCallId: '', name: '' }
const called: ParsedMessage = { ...plain, role: 'assistant', content: '', toolCalls: [{ id: 'call00001', name: 'needle_tool', text: '{"needle_argument":"needle_value"}', arguments: { needle_argument: 'needle_value' } }] }
const tool = { name: 'needle_tool', description: 'A tool.', parameters: { type: 'object', properties: { needle_argument: { type: 'string' } } }, strict: false, param: '' }

/** Found out by trying, as llama.cpp's server does. */
export function templateFeatures(template: ChatTemplate): TemplateFeatures {
  const basic: TemplateFeatures = { tools: 'tools', objectArguments: true, system: true, reasoningParts: false }
  const rendered = (features: TemplateFeatures, conversation: Partial<ParsedConversation>): string => {
    try {
      return template.render(templateVariables({ messages: [plain], tools: [], variables: {}, addGenerationPrompt: true, ...conversation }, features, (text) => text), 0)
    } catch {
      return ''
    }
  }
  const withCall = rendered(basic, { messages: [plain, called], tools: [tool] })
  const reasoned = [plain, { ...plain, role: 'assistant', reasoning: 'needle_reasoning' }, plain]
  return {
    // The second is SmolLM3's.
    tools: (['tools', 'xml_tools'] as const).find((tools) => rendered({ ...basic, tools }, { tools: [tool] }).includes('needle_tool')),
    // An object that is written without the tojson filter, or one that is put into a text, breaks.
    objectArguments: withCall.includes('needle_value') && !withCall.includes('[object'),
    system: rendered(basic, { messages: [{ ...plain, role: 'system', content: 'needle_system' }, plain] }).includes('needle_system'),
    reasoningParts: !rendered(basic, { messages: reasoned }).includes('needle_reasoning') && tookParts(rendered({ ...basic, reasoningParts: true }, { messages: reasoned })),
  }
}

/** A template that knows no parts writes the list as it is, with the names in it. */
function tookParts(text: string): boolean {
  return text.includes('needle_reasoning') && !/['"]type['"]/.test(text)
}
