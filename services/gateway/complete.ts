import { Outcome } from '../../proto/gen/intramuros/v1/audit.ts'
import { FinishReason, type GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { type PrepareResponse, TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Directory } from '../shared/directory/directory.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { ModelEntry } from '../shared/models/catalogue.ts'
import type { LaneClient } from '../shared/rpc/lane-client.ts'
import type { Telemetry } from '../shared/telemetry.ts'
import type { Admission } from './admission.ts'
import { authenticate, type Principal } from './authenticate.ts'
import type { Exchange } from './http/exchange.ts'
import { readBody } from './http/read-body.ts'
import type { GatewayMetrics } from './metrics.ts'
import { type Answer, streamedAnswer, wholeAnswer } from './openai/chat-answer.ts'
import { type ChatRequest, parseChatRequest } from './openai/chat-request.ts'
import { usage } from './openai/chat-response.ts'
import { parseJson } from './openai/validation.ts'
import type { Records } from './records.ts'
import { completionAttributes, requestAttributes } from './span-attributes.ts'
import { endRecord, newTally, type Tally } from './tally.ts'
import type { Workers } from './workers.ts'

export interface Gateway {
  directory: Directory
  /** The models that this platform serves, whether or not a worker is there now. */
  models: ReadonlyMap<string, ModelEntry>
  admission: Admission
  records: Records
  tokenizer: LaneClient
  workers: Workers
  telemetry: Telemetry
  metrics: GatewayMetrics
  log: Logger
  maxBodyBytes: number
}

const endpoint = 'POST /v1/chat/completions'
const prepareTimeoutMs = 30_000

/**
 * A chat completion, the whole of it: authenticate, admit, begin the record while the tokenizer prepares, choose a worker, generate,
 * end the record. The first byte waits for the begin record to be durable, the last for the end record.
 */
export async function completeChat(gateway: Gateway, exchange: Exchange): Promise<void> {
  const started = performance.now()
  const { requestId, signal } = exchange
  const principal = authenticate(gateway.directory, exchange.request.headers.authorization)
  const body = await readBody(exchange.request, gateway.maxBodyBytes, signal)
  const request = parseChatRequest(parseJson(body))
  if (request.ignored.length > 0) exchange.header('x-intramuros-ignored', request.ignored.join(','))
  requireModel(gateway, principal, request.model)

  const leave = await gateway.admission.enter(principal.team, signal)
  const span = gateway.telemetry.startSpan(`chat ${request.model}`, 'root', exchange.request.headers['traceparent']?.toString() ?? '')
  if (span.recording) span.set(requestAttributes(request))
  const call = { requestId, signal, traceparent: span.traceparent }
  const tally = newTally()
  try {
    const record = gateway.records.begin({
      requestId,
      team: principal.team,
      keyId: principal.keyId,
      model: request.model,
      endpoint,
      stream: request.stream,
      requestBytes: body.length,
    })
    try {
      const { model, messages, maxTokens } = request
      const prepared = await gateway.tokenizer.unary(TokenizerService.prepare, { model, messages, maxTokens }, { ...call, timeoutMs: prepareTimeoutMs })
      tally.inputTokens = prepared.tokens.length
      const answer = answerFor(exchange, request)
      const events = gateway.workers.generate(generateRequest(request, prepared, principal), call, (worker) => (tally.worker = worker))
      for await (const { event } of events) {
        if (tally.firstTokenAt === 0) {
          await record.durable
          tally.firstTokenAt = performance.now()
          answer.start()
        }
        if (event?.$case === 'delta') {
          tally.outputTokens += event.value.tokens.length
          if (event.value.text === '') continue
          tally.answerBytes += Buffer.byteLength(event.value.text)
          await answer.delta(event.value.text)
        } else if (event?.$case === 'finish') {
          tally.outputTokens = event.value.outputTokens
          tally.finishReason = event.value.reason === FinishReason.LENGTH ? 'length' : 'stop'
        }
      }
      if (tally.finishReason === '') throw new ServiceError('UNAVAILABLE', 'answer_cut_short', 'The answer ended before its end.')
      tally.outcome = Outcome.COMPLETED
      await record.end(endRecord(tally, started))
      answer.finish(tally.finishReason, usage(tally.inputTokens, tally.outputTokens))
    } catch (thrown) {
      if (tally.outcome === Outcome.COMPLETED) throw thrown // its end is what could not be recorded
      const failure = asServiceError(thrown)
      tally.outcome = failure.code === 'CANCELLED' ? Outcome.CANCELLED : Outcome.FAILED
      tally.error = failure.reason
      await record.end(endRecord(tally, started))
      throw thrown
    }
  } catch (thrown) {
    tally.error = asServiceError(thrown).reason
    throw thrown
  } finally {
    leave()
    if (span.recording) span.set(completionAttributes(requestId, tally))
    span.end(tally.error === '' ? undefined : tally.error)
    observe(gateway, requestId, request, principal, tally, started)
  }
}

function requireModel(gateway: Gateway, principal: Principal, model: string): void {
  if (gateway.models.has(model) && principal.mayUse(model)) return
  const allowed = [...gateway.models.keys()].filter((id) => principal.mayUse(id))
  const hint = allowed.length === 0 ? 'Your team may use none yet.' : `Your team may use: ${allowed.join(', ')}.`
  throw new ServiceError('NOT_FOUND', 'model_not_found', `The model does not exist, or your team may not use it. ${hint}`, { param: 'model' })
}

function answerFor(exchange: Exchange, request: ChatRequest): Answer {
  const identity = { id: `chatcmpl-${exchange.requestId.replaceAll('-', '')}`, model: request.model, created: Math.floor(Date.now() / 1000) }
  return request.stream ? streamedAnswer(exchange, identity, request.includeUsage) : wholeAnswer(exchange, identity)
}

function generateRequest(request: ChatRequest, prepared: PrepareResponse, principal: Principal): GenerateRequest {
  // A nucleus of nothing is the likeliest token alone, which is what greedy decoding takes.
  const greedy = request.topP === 0
  return {
    model: request.model,
    team: principal.team,
    tokens: prepared.tokens,
    maxTokens: prepared.maxTokens,
    temperature: greedy ? 0 : request.temperature,
    topP: greedy ? 1 : request.topP,
    stop: request.stop,
    ...(request.seed === undefined ? {} : { seed: request.seed }),
  }
}

const outcomeNames = { 0: 'unknown', 1: 'completed', 2: 'cancelled', 3: 'failed', [-1]: 'unknown' } as const

function observe(gateway: Gateway, requestId: string, request: ChatRequest, principal: Principal, tally: Tally, started: number): void {
  const { metrics, log } = gateway
  const { model } = request
  const now = performance.now()
  const outcome = outcomeNames[tally.outcome]
  metrics.outcomes.inc({ model, outcome })
  metrics.tokens.inc({ model, direction: 'input' }, tally.inputTokens)
  metrics.tokens.inc({ model, direction: 'output' }, tally.outputTokens)
  if (tally.firstTokenAt !== 0) {
    metrics.firstToken.observe({ model }, (tally.firstTokenAt - started) / 1000)
    if (tally.outputTokens > 1) metrics.interToken.observe({ model }, (now - tally.firstTokenAt) / 1000 / (tally.outputTokens - 1))
  }
  log.info(
    {
      requestId,
      team: principal.team,
      keyId: principal.keyId,
      model,
      outcome,
      ...(tally.error === '' ? {} : { reason: tally.error }),
      inputTokens: tally.inputTokens,
      outputTokens: tally.outputTokens,
      ...(tally.firstTokenAt === 0 ? {} : { firstTokenMs: round(tally.firstTokenAt - started) }),
      durationMs: round(now - started),
    },
    'chat completion',
  )
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}

