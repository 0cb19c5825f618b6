import { ServiceError } from '../../../shared/errors.ts'
import { type ErrorShape, openAiErrors } from '../errors.ts'

/** OpenAI's error object, of an API that calls the conversation its input. */
export const responsesErrors: ErrorShape = {
  body: (error, requestId) => openAiErrors.body(ofInput(error), requestId),
  event: (error, requestId) => openAiErrors.event(ofInput(error), requestId),
}

/** What the tokenizer refuses, it calls by the places of its own messages, which the input has elsewhere. */
function ofInput(error: ServiceError): ServiceError {
  const { code, reason, message, param, retryAfterMs } = error
  if (param === undefined || !/^messages(?:$|\[)/.test(param)) return error
  const text = message.replaceAll(`'${param}'`, "'input'").replaceAll(`your ${param} `, 'your input ')
  return new ServiceError(code, reason, text, { param: 'input', ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
}
