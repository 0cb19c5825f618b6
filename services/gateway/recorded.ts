import { Auth, Outcome, Priority, type RequestParameters } from '../../proto/gen/intramuros/v1/audit.ts'
import type { Attributes } from '@opentelemetry/api'
import type { KeyCheck } from '../shared/directory/directory.ts'
import { asServiceError, ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import type { ModelEntry } from '../shared/models/catalogue.ts'
import type { CallOptions, Peer } from '../shared/rpc/lane-client.ts'
import type { Telemetry } from '../shared/telemetry.ts'
import type { Admission } from './admission.ts'
import type { TSchema } from 'typebox'
import { parseJson } from './api/problem.ts'
import { refuseUnknown } from './api/unknown.ts'
import { identify, type Principal } from './authenticate.ts'
import type { KeepContent, KeptContent } from './content/keep-content.ts'
import type { Exchange } from './http/exchange.ts'
import { readBody } from './http/read-body.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { ModelDescriptions } from './model-descriptions.ts'
import type { OpenRecord, Records } from './records.ts'
import type { Refusals } from './refusals.ts'
import { completionAttributes } from './span-attributes.ts'
import { endRecord, newTally, type Tally } from './tally.ts'
import type { Workers } from './workers.ts'

export interface Gateway {
  keys: KeyCheck
  /** The models that this platform serves, whether or not a worker is there now. */
  models: ReadonlyMap<string, ModelEntry>
  descriptions: ModelDescriptions
  admission: Admission
  records: Records
  /** Told of requests that are turned away before they have a record of their own. */
  refusals: Refusals
  /** For teams that have their content kept. */
  keepContent: KeepContent
  /** Answers to "show me that this was recorded". */
  receipts: { of(requestId: string, team: string, call: CallOptions): Promise<string> }
  /** Of this software. */
  version: string
  tokenizer: Peer
  workers: Workers
  telemetry: Telemetry
  metrics: GatewayMetrics
  log: Logger
  maxBodyBytes: number
}

/** What a request asks for, once its body has been read. */
export interface Work {
  model: string
  stream: boolean
  /** Work that can wait for others'. */
  batch?: boolean
  /** What its record tells of its parameters. */
  parameters?: RequestParameters
  /** Places of names in the body that are not known. */
  unknown: string[]
  /** What the request's span tells of it. */
  attributes(): Attributes
  /**
   * Does it, and keeps the tally. Nothing may be sent before `durable` has resolved. Returns what writes the end of the answer, once
   * that is recorded too.
   */
  run(job: Job): Promise<() => void>
}

export interface Job {
  principal: Principal
  call: CallOptions
  tally: Tally
  /** Resolves once the begin record is durable, and the prompt where the team has it kept. */
  durable: Promise<void>
}

export interface Operation {
  /** "POST /v1/chat/completions" */
  name: string
  /** Of the GenAI semantic conventions: "chat", "text_completion", "embeddings" … */
  kind: string
  /** Of the body. */
  schema: TSchema
}

/**
 * A request from its beginning to its end, whatever it asks for: authenticate, read, admit, begin the record, do the work, end the
 * record, write the end. The first byte waits for the begin record to be durable, the last for the end record. Where the team has its
 * content kept, the first waits for the prompt, and the end record for the answer.
 */
export async function serveRecorded(gateway: Gateway, exchange: Exchange, operation: Operation, read: (json: unknown) => Work): Promise<void> {
  const started = performance.now()
  const { requestId, signal } = exchange
  const principal = identify(gateway, exchange, operation.name)
  const body = await readBody(exchange.request, gateway.maxBodyBytes, signal)
  const work = read(parseJson(body))
  if (work.unknown.length > 0) {
    if (principal.strictParameters) throw refuseUnknown(operation.schema, work.unknown)
    exchange.header('x-intramuros-ignored', work.unknown.map((name) => encodeURIComponent(name.slice(0, 128).toWellFormed())).join(','))
  }
  const { team, teamId, keyId, contentKeyId } = principal
  const turnedAway = (reason: string): void => gateway.refusals.note({ team, keyId, source: '', endpoint: operation.name, reason })
  if (gateway.models.has(work.model) && !principal.mayUse(work.model)) turnedAway('model_not_allowed')
  requireModel(gateway, principal, work.model)

  const leave = await gateway.admission.enter(team, signal).catch((thrown: unknown) => {
    const { code, reason } = asServiceError(thrown)
    if (code === 'RESOURCE_EXHAUSTED') turnedAway(reason)
    throw thrown
  })
  const span = gateway.telemetry.startSpan(`${operation.kind} ${work.model}`, 'root', exchange.request.headers['traceparent']?.toString() ?? '')
  if (span.recording) span.set({ 'gen_ai.operation.name': operation.kind, ...work.attributes() })
  const call = { requestId, signal, traceparent: span.traceparent }
  const tally = newTally()
  try {
    const record = gateway.records.begin({
      requestId,
      team,
      keyId,
      model: work.model,
      endpoint: operation.name,
      stream: work.stream,
      requestBytes: body.length,
      gatewayVersion: gateway.version,
      subject: '',
      auth: Auth.API_KEY,
      modelDigest: gateway.models.get(work.model)?.sha256 ?? '',
      adapter: '',
      priority: principal.batch || work.batch === true ? Priority.BATCH : Priority.INTERACTIVE,
      parameters: work.parameters ?? {},
    })
    const kept = contentKeyId === '' ? undefined : gateway.keepContent.begin({ teamId, keyId: contentKeyId, requestId, prompt: body })
    if (kept !== undefined) exchange.copy = kept.answer
    // Nothing is sent before the begin is durable, errors neither, so that its place is told with every answer that has one.
    const durable = tellPlace(record, exchange, kept)
    durable.catch(() => undefined) // whoever awaits it handles it; nobody may get that far
    try {
      const finish = await work.run({ principal, call, tally, durable })
      const { release } = kept === undefined ? { release: finish } : exchange.hold(finish)
      await kept?.end()
      tally.outcome = Outcome.COMPLETED
      await record.end(endRecord(tally, started))
      release()
    } catch (thrown) {
      if (tally.outcome === Outcome.COMPLETED) throw thrown // its end is what could not be recorded
      const failure = asServiceError(thrown)
      tally.outcome = failure.code === 'CANCELLED' ? Outcome.CANCELLED : Outcome.FAILED
      tally.error = failure.reason
      await durable.catch(() => undefined)
      // What has left of the answer.
      await kept?.end().catch((notKept: unknown) => {
        tally.outcome = Outcome.FAILED
        tally.error = asServiceError(notKept).reason
      })
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
    observe(gateway, operation, requestId, work.model, principal, tally, started)
  }
}

/** Resolves once the begin record, and a prompt that is kept, are durable, and the answer's headers say where it is; answers that go out without one don't. */
async function tellPlace(record: OpenRecord, exchange: Exchange, kept: KeptContent | undefined): Promise<void> {
  const index = await record.durable
  if (index !== undefined) exchange.header('x-intramuros-record', String(index))
  await kept?.prompt
}

/** Throws NOT_FOUND model_not_found. */
export function requireModel({ models }: Pick<Gateway, 'models'>, principal: Principal, model: string): void {
  if (models.has(model) && principal.mayUse(model)) return
  const allowed = [...models.keys()].filter((id) => principal.mayUse(id))
  const hint = allowed.length === 0 ? 'Your team may use none yet.' : `Your team may use: ${allowed.join(', ')}.`
  throw new ServiceError('NOT_FOUND', 'model_not_found', `The model does not exist, or your team may not use it. ${hint}`, { param: 'model' })
}

const outcomeNames = { 0: 'unknown', 1: 'completed', 2: 'cancelled', 3: 'failed', [-1]: 'unknown' } as const

function observe(gateway: Gateway, operation: Operation, requestId: string, model: string, principal: Principal, tally: Tally, started: number): void {
  const { metrics, log } = gateway
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
      endpoint: operation.name,
      outcome,
      ...(tally.error === '' ? {} : { reason: tally.error }),
      inputTokens: tally.inputTokens,
      outputTokens: tally.outputTokens,
      ...(tally.firstTokenAt === 0 ? {} : { firstTokenMs: round(tally.firstTokenAt - started) }),
      durationMs: round(now - started),
    },
    'request',
  )
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
