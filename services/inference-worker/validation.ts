import type { GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Engine } from './engines/engine.ts'

/** OpenAI's API allows 4; the worker leaves room for engines and clients that allow more. */
const maxStops = 16
const maxStopLength = 1024

/** Throws what is wrong with a request: NOT_FOUND for another model, else INVALID_ARGUMENT. */
export function validateRequest(request: GenerateRequest, engine: Engine): void {
  if (request.model !== engine.model)
    throw new ServiceError('NOT_FOUND', 'model_not_found', 'This worker does not serve that model.', { param: 'model' })
  const { tokens, maxTokens, temperature, topP, stop } = request
  if (tokens.length === 0) throw invalid('empty_prompt', 'The prompt has no tokens.', 'messages')
  if (tokens.some((token) => token >= engine.vocabularySize))
    throw invalid('unknown_token', 'The prompt has a token that the model does not know.', 'messages')
  if (maxTokens < 1) throw invalid('invalid_value', 'max_tokens must be at least 1.', 'max_tokens')
  if (tokens.length + maxTokens > engine.contextLength) {
    throw invalid(
      'context_length_exceeded',
      `Prompt and answer together may have at most ${engine.contextLength} tokens.`,
      'messages',
    )
  }
  if (!(temperature >= 0 && temperature <= 100))
    throw invalid('invalid_value', 'temperature must be from 0 to 100.', 'temperature')
  if (!(topP > 0 && topP <= 1)) throw invalid('invalid_value', 'top_p must be above 0 and at most 1.', 'top_p')
  if (stop.length > maxStops) throw invalid('invalid_value', `There may be at most ${maxStops} stop sequences.`, 'stop')
  if (stop.some((text) => text === '' || text.length > maxStopLength)) {
    throw invalid('invalid_value', `A stop sequence must have from 1 to ${maxStopLength} characters.`, 'stop')
  }
}

function invalid(reason: string, message: string, param: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', reason, message, { param })
}
