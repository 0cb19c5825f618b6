import { type Conversation, type Tool, ToolChoice } from '../../../proto/gen/intramuros/v1/tokenizer.ts'
import { invalid } from './body.ts'

export interface GivenTool {
  name: string
  description?: string
  parameters?: unknown
  strict?: boolean
  /** Place of it in the request's JSON, for errors. */
  param: string
  /** Place of its parameters, if they are not called so. */
  schemaParam?: string
}

/** As OpenAI and Anthropic bound it. */
const namePattern = /^[a-zA-Z0-9_-]{1,64}$/

/** Throws INVALID_ARGUMENT for a name that can't be one, or comes twice. */
export function toolsOf(given: readonly GivenTool[]): Tool[] {
  const names = new Set<string>()
  return given.map(({ name, description = '', parameters, strict = false, param, schemaParam = `${param}.parameters` }) => {
    const place = `${param}.name`
    if (!namePattern.test(name)) throw invalid({ param: place, message: `'${place}' must be 1 to 64 letters, digits, "_" or "-".` })
    if (names.has(name)) throw invalid({ param: place, message: `'${place}' is the name of another tool already.` })
    names.add(name)
    return { name, description, parameters: parameters === undefined ? '' : JSON.stringify(parameters), strict, param: schemaParam }
  })
}

/** Whether tools are called; a named one with the place of its name in the request's JSON. Throws INVALID_ARGUMENT for a demand that no tool can meet. */
export function toolChoiceOf(choice: 'auto' | 'none' | 'required' | { name: string; param: string }, tools: readonly Tool[]): Pick<Conversation, 'toolChoice' | 'toolName'> {
  if (choice === 'auto') return { toolChoice: ToolChoice.AUTO, toolName: '' }
  if (choice === 'none') return { toolChoice: ToolChoice.NONE, toolName: '' }
  if (tools.length === 0) throw invalid({ param: 'tool_choice', message: "'tool_choice' demands a call, but there are no 'tools'." })
  if (choice === 'required') return { toolChoice: ToolChoice.REQUIRED, toolName: '' }
  const { name, param } = choice
  if (!tools.some((tool) => tool.name === name)) throw invalid({ param, message: "'tool_choice' names a function that is not among the 'tools'." })
  return { toolChoice: ToolChoice.NAMED, toolName: name }
}
