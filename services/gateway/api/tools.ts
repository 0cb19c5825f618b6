import type { Tool } from '../../../proto/gen/intramuros/v1/tokenizer.ts'
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
