import { type Conversation, TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import {
  ApplyTemplateBody,
  conversationFrom,
  DetokenizeBody,
  parseApplyTemplateBody,
  parseDetokenizeBody,
  parseTokenizeRequest,
  TokenizeBody,
  type TokenizeRequest,
} from './api/tokens/request.ts'
import { CountTokensBody, parseCountTokens } from './api/messages/request.ts'
import { ServiceError } from '../shared/errors.ts'
import type { Generation } from './generation.ts'
import { prepare } from './complete.ts'
import type { Exchange } from './http/exchange.ts'
import { type Gateway, type Job, type Operation, serveRecorded } from './recorded.ts'

export const tokenize: Operation = { name: 'POST /tokenize', kind: 'tokenize', schema: TokenizeBody }
export const detokenize: Operation = { name: 'POST /detokenize', kind: 'detokenize', schema: DetokenizeBody }
export const applyTemplate: Operation = { name: 'POST /apply-template', kind: 'apply_template', schema: ApplyTemplateBody }
export const countTokens: Operation = { name: 'POST /v1/messages/count_tokens', kind: 'count_tokens', schema: CountTokensBody }

const timeoutMs = 30_000
/** More would hold up everybody else while it is written. */
const mostPieces = 131_072

export function serveTokenize(gateway: Gateway, exchange: Exchange): Promise<void> {
  return served(gateway, exchange, tokenize, (json) => {
    const request = parseTokenizeRequest(json)
    return { ...request, answer: (model, job) => tokenized(gateway, model, request, job) }
  })
}

export function serveDetokenize(gateway: Gateway, exchange: Exchange): Promise<void> {
  return served(gateway, exchange, detokenize, (json) => {
    const { value: body, unknown } = parseDetokenizeBody(json)
    return {
      model: body.model ?? undefined,
      unknown,
      async answer(model, { call, tally }) {
        tally.inputTokens = body.tokens.length
        const { text } = await gateway.tokenizer.unary(TokenizerService.detokenize, { model, ids: body.tokens, wantPieces: false }, { ...call, timeoutMs })
        // llama-server's name of it, and vLLM's.
        return { content: text, prompt: text }
      },
    }
  })
}

export function serveApplyTemplate(gateway: Gateway, exchange: Exchange): Promise<void> {
  return served(gateway, exchange, applyTemplate, (json) => {
    const { value: body, unknown } = parseApplyTemplateBody(json)
    return {
      model: body.model ?? undefined,
      unknown,
      async answer(model, job) {
        const { text } = await preparedConversation(gateway, model, conversationFrom(body), job)
        return { prompt: text }
      },
    }
  })
}

/** Anthropic's count of the tokens that a request of POST /v1/messages would have. */
export function serveCountTokens(gateway: Gateway, exchange: Exchange): Promise<void> {
  return served(gateway, exchange, countTokens, (json) => {
    const { generation, unknown } = parseCountTokens(json)
    return {
      model: generation.model,
      unknown,
      async answer(_model, { call, tally }) {
        const { tokens } = await prepare(gateway, generation, generation.prompt, call, true)
        tally.inputTokens = tokens.length
        return { input_tokens: tokens.length }
      },
    }
  })
}

interface Question {
  model: string | undefined
  unknown: string[]
  answer(model: string, job: Job): Promise<object>
}

/** A question to the tokenizer alone, recorded like all that has to do with a prompt. */
function served(gateway: Gateway, exchange: Exchange, operation: Operation, read: (json: unknown) => Question): Promise<void> {
  return serveRecorded(gateway, exchange, operation, (json) => {
    const question = read(json)
    const model = question.model ?? onlyModel(gateway)
    return {
      model,
      stream: false,
      unknown: question.unknown,
      attributes: () => ({ 'gen_ai.provider.name': 'intramuros', 'gen_ai.request.model': model }),
      async run(job) {
        const body = JSON.stringify(await question.answer(model, job))
        await job.durable
        job.tally.finishReason = 'stop'
        job.tally.answerBytes = Buffer.byteLength(body)
        return () => exchange.json(200, body)
      },
    }
  })
}

/** These APIs have no `model` in llama-server, which serves one. */
function onlyModel({ models }: Gateway): string {
  const [first, another] = models.keys()
  if (first !== undefined && another === undefined) return first
  throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', "'model' is missing, and more than one is served. GET /v1/models tells which.", { param: 'model' })
}

async function tokenized(gateway: Gateway, model: string, request: TokenizeRequest, job: Job): Promise<object> {
  const { call, tally } = job
  const ids = await idsOf(gateway, model, request, job)
  tally.inputTokens = ids.length
  const description = (await gateway.descriptions.all(call.signal)).get(model)
  const counts = { count: ids.length, max_model_len: description?.contextLength ?? 0 }
  if (!request.withPieces && !request.withStrings) return { tokens: ids, ...counts }
  if (ids.length > mostPieces) {
    const text = `The texts of at most ${mostPieces} tokens are told; these are ${ids.length}. Leave 'with_pieces' and 'return_token_strs' out.`
    throw new ServiceError('INVALID_ARGUMENT', 'invalid_value', text, { param: request.withPieces ? 'with_pieces' : 'return_token_strs' })
  }
  const { pieces } = await gateway.tokenizer.unary(TokenizerService.detokenize, { model, ids, wantPieces: true }, { ...call, timeoutMs })
  return {
    tokens: request.withPieces ? ids.map((id, index) => ({ id, piece: pieceOf(pieces[index]) })) : ids,
    ...counts,
    ...(request.withStrings ? { token_strs: pieces.map((piece) => Buffer.from(piece).toString()) } : {}),
  }
}

async function idsOf(gateway: Gateway, model: string, { input }: TokenizeRequest, job: Job): Promise<number[]> {
  if (input.$case === 'conversation') return (await preparedConversation(gateway, model, input.conversation, job)).tokens
  const { text, addSpecial, parseSpecial } = input
  const request = { model, texts: [text], addSpecial, parseSpecial, limited: false }
  const { lists } = await gateway.tokenizer.unary(TokenizerService.tokenize, request, { ...job.call, timeoutMs })
  return lists[0]?.ids ?? []
}

/** As llama-server: text, or the bytes of what is only a part of a character. */
function pieceOf(piece: Uint8Array | undefined): string | number[] {
  const bytes = piece ?? new Uint8Array(0)
  const text = Buffer.from(bytes).toString()
  return text.includes('\uFFFD') ? [...bytes] : text
}

async function preparedConversation(gateway: Gateway, model: string, conversation: Conversation, { call, tally }: Job) {
  const generation: Pick<Generation, 'model' | 'maxTokens' | 'format' | 'wantPromptText'> = { model, maxTokens: 0, format: undefined, wantPromptText: true }
  const prepared = await prepare(gateway, generation, { $case: 'conversation', value: conversation }, call, true)
  tally.inputTokens = prepared.tokens.length
  return prepared
}
