import type { PrepareRequest, PrepareResponse } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { CallContext, UnaryHandler } from '../shared/rpc/handler.ts'
import type { TokenizerMetrics } from './metrics.ts'
import type { ServedModel } from './model.ts'
import type { TemplateMessage } from './template.ts'

export interface PrepareOptions {
  /** By catalogue id. */
  models: ReadonlyMap<string, ServedModel>
  log: Logger
  metrics: TokenizerMetrics
}

/**
 * The role that reaches the template. No other may: a role is part of what the template writes, so a client's own would be text
 * outside the guard.
 */
const roles: ReadonlyMap<string, string> = new Map([
  ['system', 'system'],
  ['developer', 'system'],
  ['user', 'user'],
  ['assistant', 'assistant'],
  ['tool', 'tool'],
])

/** From a conversation to the exact tokens that the model will see. Keeps nothing of it. */
export function createPrepare({ models, log, metrics }: PrepareOptions): UnaryHandler<PrepareRequest, PrepareResponse> {
  return async (request, call) => {
    const start = performance.now()
    try {
      const response = await prepare(request, call, models)
      metrics.promptTokens.inc(response.tokens.length)
      log.info({ requestId: call.requestId, tokens: response.tokens.length, maxTokens: response.maxTokens }, 'prompt prepared')
      return response
    } catch (thrown) {
      const error = asServiceError(thrown)
      metrics.errors.inc({ reason: error.reason })
      const fields = { requestId: call.requestId, reason: error.reason }
      if (error.code === 'INTERNAL') log.error({ ...fields, err: error }, 'prompt could not be prepared')
      else log.debug(fields, 'prompt not prepared')
      throw error
    } finally {
      metrics.prepareSeconds.observe((performance.now() - start) / 1000)
    }
  }
}

async function prepare(request: PrepareRequest, call: CallContext, models: PrepareOptions['models']): Promise<PrepareResponse> {
  const model = models.get(request.model)
  if (model === undefined) throw new ServiceError('NOT_FOUND', 'model_not_found', 'The model does not exist.', { param: 'model' })
  const messages = request.messages.map(templateMessage)
  if (messages.length === 0) {
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', 'There must be at least one message.', { param: 'messages' })
  }

  const { contextLength } = model
  // So many bytes or messages can't fit, whatever their tokens: don't begin.
  let bytes = 0
  for (const { content } of messages) bytes += Buffer.byteLength(content)
  if (bytes > contextLength * model.longestTokenBytes || messages.length > contextLength) throw tooLong(contextLength, `more than ${contextLength}`)

  const { ids, complete } = await model.tokenise(messages, call.signal)
  // One more for the first token of the answer.
  if (ids.length + 1 > contextLength) throw tooLong(contextLength, complete ? String(ids.length) : `more than ${contextLength}`)
  const left = contextLength - ids.length
  return { tokens: ids, maxTokens: request.maxTokens === 0 ? left : Math.min(request.maxTokens, left) }
}

function templateMessage({ role, content }: TemplateMessage): TemplateMessage {
  const known = roles.get(role)
  if (known === undefined) {
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', 'A message has an unknown role.', { param: 'messages' })
  }
  // Half of a surrogate pair has no UTF-8: llama.cpp would see something else than was looked at here.
  return { role: known, content: content.toWellFormed() }
}

/** In OpenAI's words, which some clients look for. */
function tooLong(contextLength: number, tokens: string): ServiceError {
  return new ServiceError(
    'INVALID_ARGUMENT',
    'context_length_exceeded',
    `This model's maximum context length is ${contextLength} tokens. However, your messages resulted in ${tokens} tokens.`,
    { param: 'messages' },
  )
}
