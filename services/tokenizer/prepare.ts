import { type Conversation, type PrepareRequest, type PrepareResponse, type TextPrompt, type TokenPrompt } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { ReasoningState } from '../shared/dialects/answer-grammar.ts'
import type { Dialect } from '../shared/dialects/dialect.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { CallContext, UnaryHandler } from '../shared/rpc/handler.ts'
import { answerFormat, textFormat } from './answer-format.ts'
import { type ParsedConversation, parseConversation } from './conversation.ts'
import { detokenise } from './detokenise.ts'
import type { TokenizerMetrics } from './metrics.ts'
import type { ServedModel } from './model.ts'
import type { Piece } from './special-tokens.ts'

export interface PrepareOptions {
  /** By catalogue id. */
  models: ReadonlyMap<string, ServedModel>
  log: Logger
  metrics: TokenizerMetrics
}

/** The exact tokens of a prompt, and how its answer is to be constrained and read. Keeps nothing of it. */
export function createPrepare({ models, log, metrics }: PrepareOptions): UnaryHandler<PrepareRequest, PrepareResponse> {
  return async (request, call) => {
    const start = performance.now()
    try {
      const response = await prepare(request, call, requireModel(models, request.model))
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

/** Throws NOT_FOUND model_not_found. */
export function requireModel(models: PrepareOptions['models'], id: string): ServedModel {
  const model = models.get(id)
  if (model === undefined) throw new ServiceError('NOT_FOUND', 'model_not_found', 'The model does not exist.', { param: 'model' })
  return model
}

/** All of a response but what depends on its length. */
type Prepared = Omit<PrepareResponse, 'maxTokens'>

async function prepare(request: PrepareRequest, call: CallContext, served: ServedModel): Promise<PrepareResponse> {
  const { prompt } = request
  const model = { ...served, contextLength: Math.min(served.contextLength, request.contextLength ?? served.contextLength) }
  if (!model.description.completion) throw unsupported('model', `This model ${model.description.rerank ? 'reranks' : 'makes embeddings'}; it does not generate text.`)
  const prepared = await preparePrompt(request, prompt, call, model)
  const { tokens } = prepared
  const left = Math.max(0, model.contextLength - tokens.length)
  return { ...prepared, maxTokens: request.maxTokens === 0 ? left : Math.min(request.maxTokens, left), text: request.wantText ? prepared.text : '' }
}

function preparePrompt(request: PrepareRequest, prompt: PrepareRequest['prompt'], call: CallContext, model: ServedModel): Promise<Prepared> {
  switch (prompt?.$case) {
    case 'conversation':
      return prepareConversation(prompt.value, request, call, model)
    case 'text':
      return prepareText(prompt.value, request, call, model)
    case 'tokens':
      return Promise.resolve(prepareTokens(prompt.value, request, model))
    default:
      throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', 'There is no prompt.', { param: 'prompt' })
  }
}

async function prepareConversation(conversation: Conversation, request: PrepareRequest, call: CallContext, model: ServedModel): Promise<Prepared> {
  const { chat } = model
  if (chat === undefined) throw unsupported('messages', 'This model has no chat template: it goes on with a text, at POST /v1/completions.')
  if (conversation.tools.length > 0 && !chat.tools) throw unsupported('tools', 'How this model calls tools is not known here. Leave them out.')
  const parsed = parseConversation(conversation)
  if (!request.anyLength) refuseHopeless(parsed, model)

  const pieces = chat.render(parsed)
  const ids = await tokenise(pieces, call, model, 'messages', chat.leading, request.anyLength)
  const dialect = chat.dialect(parsed.tools.length > 0)
  const reasoning = reasoningState(dialect, pieces, conversation)
  const grammar = answerFormat({ conversation, tools: parsed.tools, format: request.format, dialect, reasoning })
  return {
    tokens: ids,
    dialect: dialect.name,
    visibleTokens: [...chat.visibleTokens(dialect)],
    ...grammar,
    reasoningOpen: reasoning === 'open',
    reasoningBegin: dialect.reasoning?.begin ?? '',
    reasoningEnd: dialect.reasoning?.end ?? '',
    reasoningEndTokens: conversation.reasoningBudget === undefined ? [] : await endOfReasoning(dialect, model, call),
    // Without the BOS token that comes before each prompt, as llama-server tells it.
    text: request.wantText ? pieces.map((piece) => (typeof piece === 'string' ? piece : piece.text)).join('') : '',
  }
}

async function prepareText({ text, suffix }: TextPrompt, request: PrepareRequest, call: CallContext, model: ServedModel): Promise<Prepared> {
  const { bos, addBos, infill } = model.vocabulary
  const leading = addBos ? bos?.id : undefined
  if (Buffer.byteLength(text) + Buffer.byteLength(suffix ?? '') > model.contextLength * model.vocabulary.longestTokenBytes) {
    throw tooLong(model.contextLength, `more than ${model.contextLength}`, 'prompt')
  }
  if (suffix === undefined) {
    const ids = await tokenise(model.pieces(text, false), call, model, 'prompt', leading)
    return { ...plain, tokens: notEmpty(ids, bos?.id), ...textFormat(request.format), text }
  }
  if (infill === undefined) throw unsupported('suffix', "This model can't fill in what stands between two texts. Leave 'suffix' out.")
  const before = await tokenise(model.pieces(text, false), call, model, 'prompt', undefined)
  const after = await tokenise(model.pieces(suffix, false), call, model, 'prompt', undefined)
  // As llama-server's /infill: prefix, suffix, middle.
  const ids = [...(leading === undefined ? [] : [leading]), infill.prefix, ...before, infill.suffix, ...after, infill.middle]
  if (ids.length + 1 > model.contextLength) throw tooLong(model.contextLength, String(ids.length), 'prompt')
  return { ...plain, tokens: ids, ...textFormat(request.format), text }
}

function prepareTokens({ ids }: TokenPrompt, { format, wantText }: PrepareRequest, { vocabulary, contextLength }: ServedModel): Prepared {
  if (ids.some((id) => id >= vocabulary.size)) {
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', `'prompt' has a token id that the vocabulary has not: they are below ${vocabulary.size}.`, { param: 'prompt' })
  }
  if (ids.length + 1 > contextLength) throw tooLong(contextLength, String(ids.length), 'prompt')
  return { ...plain, tokens: notEmpty(ids, vocabulary.bos?.id), ...textFormat(format), text: wantText ? detokenise(vocabulary.texts, ids) : '' }
}

/** An answer that is text as it is. */
const plain = { dialect: '', visibleTokens: [], reasoningOpen: false, reasoningBegin: '', reasoningEnd: '', reasoningEndTokens: [] }

/** Contexts that a prompt which does not fit is counted up to. */
const countedContexts = 4

/** Throws INVALID_ARGUMENT context_length_exceeded. */
async function tokenise(pieces: readonly Piece[], { signal }: CallContext, model: ServedModel, param: string, leading: number | undefined, anyLength = false): Promise<number[]> {
  // A prompt that is too long is counted, so that its client knows by how much, but not without end.
  const { ids, complete } = await model.tokenise(pieces, signal, countedContexts * model.contextLength)
  if (leading !== undefined) ids.unshift(leading)
  // One more for the first token of the answer.
  if (anyLength && complete) return ids
  if (ids.length + 1 > model.contextLength) throw tooLong(model.contextLength, complete ? String(ids.length) : `more than ${countedContexts * model.contextLength}`, param)
  return ids
}

/** A model must be given something to go on from. */
function notEmpty(ids: number[], bos: number | undefined): number[] {
  if (ids.length > 0) return ids
  if (bos !== undefined) return [bos]
  throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', "'prompt' is empty, and this model has no token to begin a text with.", { param: 'prompt' })
}

/** So many bytes, messages, calls or tools can't fit, whatever their tokens: don't begin. */
function refuseHopeless({ messages, tools }: ParsedConversation, { contextLength, vocabulary }: ServedModel): void {
  let bytes = 0
  let parts = messages.length + tools.length
  for (const { content, toolCalls } of messages) {
    bytes += Buffer.byteLength(content)
    parts += toolCalls.length
  }
  if (bytes > contextLength * vocabulary.longestTokenBytes || parts > contextLength) throw tooLong(contextLength, `more than ${contextLength}`, 'messages')
}

/** Told by how the prompt ends, which is the template's own text. */
function reasoningState({ reasoning }: Dialect, pieces: readonly Piece[], { addGenerationPrompt, reasoning: wanted }: Conversation): ReasoningState {
  if (reasoning === undefined || !addGenerationPrompt) return 'none'
  const end = pieces
    .slice(-4)
    .map((piece) => (typeof piece === 'string' ? piece.slice(-256) : piece.text))
    .join('')
    .trimEnd()
  if (end.endsWith(reasoning.begin.trim())) return 'open'
  if (end.endsWith(reasoning.end.trim()) || wanted === false) return 'none'
  return 'possible'
}

/** The empty line is what models were taught to leave before the answer. */
async function endOfReasoning({ reasoning }: Dialect, model: ServedModel, { signal }: CallContext): Promise<number[]> {
  if (reasoning === undefined) return []
  const { ids } = await model.tokenise(model.pieces(`\n${reasoning.end.trim()}\n\n`, true), signal)
  return ids
}

function unsupported(param: string, message: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'unsupported_parameter', message, { param })
}

/** In OpenAI's words, which some clients look for. */
function tooLong(contextLength: number, tokens: string, param: string): ServiceError {
  const text = `This model's maximum context length is ${contextLength} tokens. However, your ${param} resulted in ${tokens} tokens.`
  return new ServiceError('INVALID_ARGUMENT', 'context_length_exceeded', text, { param })
}
