import type { Constraint, EmbedRequest, GenerateRequest, RankRequest, ReasoningBudget, Sampling } from '../../proto/gen/intramuros/v1/inference.ts'
import { ServiceError } from '../shared/errors.ts'
import type { EmbeddingEngine, Engine, GeneratingEngine, RankingEngine, RemoteEngine } from './engines/engine.ts'
import { mostTop } from './engines/logprob-reader.ts'

/** OpenAI's API allows 4 stop sequences; the worker leaves room for engines and clients that allow more. */
const most = { stops: 16, stopLength: 1024, biases: 4096, penaltyWindow: 65_536, visibleTokens: 1024, triggers: 16, markLength: 1024, endTokens: 64, inputs: 64 } as const

/** Throws INVALID_ARGUMENT with what is wrong. */
export function validateGenerate(request: GenerateRequest, engine: GeneratingEngine | RemoteEngine): Sampling {
  const { tokens, maxTokens, sampling, stop, stopUntil, constraint, visibleTokens, reasoningBudget, topLogprobs } = request
  const known = (token: number): boolean => token < engine.vocabularySize
  if (tokens.length === 0) throw invalid('empty_prompt', 'The prompt has no tokens.', 'messages')
  if (!tokens.every(known)) throw invalid('unknown_token', 'The prompt has a token that the model does not know.', 'messages')
  if (maxTokens < 1) throw invalid('invalid_value', 'max_tokens must be at least 1.', 'max_tokens')
  if (tokens.length + maxTokens > engine.contextLength) {
    throw invalid(
      'context_length_exceeded',
      `Prompt and answer together may have at most ${engine.contextLength} tokens.`,
      'messages',
    )
  }
  if (stop.length > most.stops) throw invalid('invalid_value', `There may be at most ${most.stops} stop sequences.`, 'stop')
  if (stop.some((text) => text === '' || text.length > most.stopLength)) {
    throw invalid('invalid_value', `A stop sequence must have from 1 to ${most.stopLength} characters.`, 'stop')
  }
  if (stopUntil.length > most.triggers || !stopUntil.every(isMark)) {
    throw invalid('invalid_value', `stop_until may have at most ${most.triggers} texts of 1 to ${most.markLength} characters.`, 'stop')
  }
  if (visibleTokens.length > most.visibleTokens || !visibleTokens.every(known)) {
    throw invalid('invalid_value', `visible_tokens must be at most ${most.visibleTokens} tokens of the model.`, 'visible_tokens')
  }
  if (topLogprobs !== undefined && topLogprobs > mostTop)
    throw invalid('invalid_value', `top_logprobs must be at most ${mostTop}.`, 'top_logprobs')
  if (constraint !== undefined) validateConstraint(constraint)
  if (reasoningBudget !== undefined) validateReasoningBudget(reasoningBudget, known)
  if (sampling === undefined) throw invalid('invalid_value', 'sampling is missing.', 'sampling')
  validateSampling(sampling, known)
  return sampling
}

export function validateEmbed({ inputs }: EmbedRequest, engine: EmbeddingEngine): void {
  validateInputs(inputs, engine, (tokens) => engine.inputLength(tokens))
}

export function validateRank({ inputs }: RankRequest, engine: RankingEngine): void {
  validateInputs(inputs, engine, (tokens) => tokens.length)
}

function validateInputs(inputs: readonly { tokens: readonly number[] }[], engine: EmbeddingEngine | RankingEngine, lengthOf: (tokens: readonly number[]) => number): void {
  if (inputs.length === 0 || inputs.length > most.inputs)
    throw invalid('invalid_value', `There may be from 1 to ${most.inputs} inputs.`, 'input')
  for (const [index, { tokens }] of inputs.entries()) {
    if (tokens.length === 0) throw invalid('empty_prompt', `Input ${index} has no tokens.`, 'input')
    const length = lengthOf(tokens)
    if (length > engine.contextLength) {
      throw invalid(
        'context_length_exceeded',
        `Input ${index} has ${length} tokens; the model takes at most ${engine.contextLength}.`,
        'input',
      )
    }
    if (tokens.some((token) => token >= engine.vocabularySize))
      throw invalid('unknown_token', `Input ${index} has a token that the model does not know.`, 'input')
  }
}

/** Throws NOT_FOUND. */
export function validateModel(model: string, engine: Engine): void {
  if (model === engine.model) return
  throw new ServiceError('NOT_FOUND', 'model_not_found', 'This worker does not serve that model.', { param: 'model' })
}

function validateSampling(sampling: Sampling, known: (token: number) => boolean): void {
  const { temperature, topP, minP, repeatPenalty, penaltyWindow, presencePenalty, frequencyPenalty, logitBias } = sampling
  inRange('temperature', temperature, 0, 100)
  if (!(topP > 0 && topP <= 1)) throw invalid('invalid_value', 'top_p must be above 0 and at most 1.', 'top_p')
  inRange('min_p', minP, 0, 1)
  inRange('repeat_penalty', repeatPenalty, 0.01, 100)
  // More than a context holds is all of it; the bound is one of memory.
  inRange('repeat_last_n', penaltyWindow, 0, most.penaltyWindow)
  inRange('presence_penalty', presencePenalty, -100, 100)
  inRange('frequency_penalty', frequencyPenalty, -100, 100)
  const biases = Object.entries(logitBias)
  if (biases.length > most.biases) throw invalid('invalid_value', `logit_bias may name at most ${most.biases} tokens.`, 'logit_bias')
  for (const [token, bias] of biases) {
    if (!known(Number(token))) throw invalid('unknown_token', 'logit_bias has a token that the model does not know.', 'logit_bias')
    inRange('logit_bias', bias, -100, 100)
  }
}

/** The grammar itself is checked where it is compiled. */
function validateConstraint({ after }: Constraint): void {
  if (after.length > most.triggers || !after.every(isMark)) {
    throw invalid(
      'invalid_value',
      `A grammar may begin after one of at most ${most.triggers} texts of 1 to ${most.markLength} characters.`,
      'grammar',
    )
  }
}

function validateReasoningBudget({ begin, end, endTokens }: ReasoningBudget, known: (token: number) => boolean): void {
  const marks = isMark(end) && begin.length <= most.markLength
  if (!marks || endTokens.length === 0 || endTokens.length > most.endTokens || !endTokens.every(known)) {
    throw invalid(
      'invalid_value',
      `A reasoning budget needs the end of the reasoning as text and as 1 to ${most.endTokens} tokens of the model.`,
      'reasoning_budget',
    )
  }
}

function isMark(text: string): boolean {
  return text !== '' && text.length <= most.markLength
}

function inRange(param: string, value: number, low: number, high: number): void {
  if (!(value >= low && value <= high)) throw invalid('invalid_value', `${param} must be from ${low} to ${high}.`, param)
}

export function invalid(reason: string, message: string, param: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', reason, message, { param })
}
