import { expect, test } from 'vitest'
import { ServiceError } from '../../../shared/errors.ts'
import { responsesErrors } from './errors.ts'

test.each([
  ["However, your messages resulted in 9 tokens.", 'messages', "However, your input resulted in 9 tokens.", 'input'],
  ["'messages[1].tool_calls[0].function.arguments' is nested too deep.", 'messages[1].tool_calls[0].function.arguments', "'input' is nested too deep.", 'input'],
  ["The template refuses these messages.", 'messages', 'The template refuses these messages.', 'input'],
  ["'tools[0].parameters' is wrong.", 'tools[0].parameters', "'tools[0].parameters' is wrong.", 'tools[0].parameters'],
])('%s', (message, param, told, place) => {
  const error = new ServiceError('INVALID_ARGUMENT', 'invalid_value', message, { param })
  expect(JSON.parse(responsesErrors.body(error, 'r'))).toEqual({ error: { message: told, type: 'invalid_request_error', param: place, code: 'invalid_value' } })
  expect(responsesErrors.event(error, 'r')).toBe(`data: ${responsesErrors.body(error, 'r')}\n\n`)
})
