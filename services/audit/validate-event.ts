import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { type ConfigureRequest, IsolationOutcome, Outcome, type RecordRequest, ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import { type Entry, type EntryOf, fieldsOf, RequestId } from './records/record.ts'
import { invalid } from './validate.ts'

/** The edge of the ledger for what is no request's begin or end; see validate.ts. */
type EventType = 'request.refused' | 'service.changed' | 'directory.changed' | 'request.unrecorded' | 'isolation.checked' | 'log.gap'
export type EventEntry = EntryOf<EventType>

/** What the ledger alone can tell of a check: it knows the one before. */
export const notCompared = 'first'

const closed = { additionalProperties: false }
/** Of what an event says, by its type. */
const checks = {
  'request.refused': Compile(Type.Object(fieldsOf('request.refused'), closed)),
  'service.changed': Compile(Type.Object(fieldsOf('service.changed'), closed)),
  'directory.changed': Compile(Type.Object(fieldsOf('directory.changed'), closed)),
  'request.unrecorded': Compile(Type.Object(fieldsOf('request.unrecorded'), closed)),
  'log.gap': Compile(Type.Object(fieldsOf('log.gap'), closed)),
  'isolation.checked': Compile(Type.Object(fieldsOf('isolation.checked'), closed)),
}
const messageId = Compile(Type.Object({ id: RequestId }))

type ServiceName = EntryOf<'service.changed'>['service']
const services: Partial<Record<ServiceKind, ServiceName>> = {
  [ServiceKind.GATEWAY]: 'gateway',
  [ServiceKind.TOKENIZER]: 'tokenizer',
  [ServiceKind.INFERENCE_WORKER]: 'inference-worker',
  [ServiceKind.AUDIT]: 'audit',
}
const serviceEvents: Partial<Record<ServiceEvent, EntryOf<'service.changed'>['event']>> = {
  [ServiceEvent.STARTED]: 'started',
  [ServiceEvent.STOPPING]: 'stopping',
  [ServiceEvent.JOINED]: 'joined',
  [ServiceEvent.LEFT]: 'left',
}
const outcomes: Partial<Record<Outcome, EntryOf<'request.unrecorded'>['outcome']>> = {
  [Outcome.COMPLETED]: 'completed',
  [Outcome.CANCELLED]: 'cancelled',
  [Outcome.FAILED]: 'failed',
}

const isolationOutcomes: Partial<Record<IsolationOutcome, EntryOf<'isolation.checked'>['outcome']>> = {
  [IsolationOutcome.HELD]: 'held',
  [IsolationOutcome.VIOLATED]: 'violated',
  [IsolationOutcome.UNPROVEN]: 'unproven',
}

export function validEvent({ id, event }: RecordRequest): { id: string; entry: EventEntry } {
  if (!messageId.Check({ id })) throw invalid(messageId.Errors({ id }))
  const candidate = candidateOf(event)
  if (candidate === undefined) throw invalid([])
  const { type, ...fields } = candidate
  const check = checks[type]
  if (!check.Check(fields)) throw invalid(check.Errors(fields))
  return { id, entry: candidate as EventEntry }
}

/** What a message says, field by field, unchecked: enumerations are undefined where they are unknown. */
type Unchecked<T> = T extends Entry ? { [F in keyof T]: F extends 'type' ? T[F] : unknown } : never

function candidateOf(event: RecordRequest['event']): Unchecked<EventEntry> | undefined {
  switch (event?.$case) {
    case 'requestRefused': {
      const { team, keyId, source, endpoint, reason, instance, count } = event.value
      return { type: 'request.refused', team, keyId, source, endpoint, reason, instance, count }
    }
    case 'serviceChanged': {
      const { instance, version, model, modelDigest } = event.value
      return { type: 'service.changed', service: services[event.value.service], instance, event: serviceEvents[event.value.event], version, model, modelDigest }
    }
    case 'directoryChanged': {
      const { changedAt, event: what, team, keyId, settings } = event.value
      return { type: 'directory.changed', id: Number(event.value.id), changedAt, event: what, team, keyId, settings }
    }
    case 'requestUnrecorded': {
      const { requestId, instance, team, keyId, model, endpoint, beganAt, inputTokens, outputTokens } = event.value
      return { type: 'request.unrecorded', requestId, instance, team, keyId, model, endpoint, beganAt, outcome: outcomes[event.value.outcome], inputTokens, outputTokens }
    }
    case 'gap':
      return { type: 'log.gap', from: event.value.from, reason: 'not_reached', refused: 0, unrecorded: event.value.unrecorded }
    case 'isolationChecked': {
      const { instance, components, attempts, violations, broken, untried, report } = event.value
      const problems = event.value.problems.map(({ component, kind, verdict, count }) => ({ component, kind, verdict, count }))
      return { type: 'isolation.checked', instance, outcome: isolationOutcomes[event.value.outcome], compared: notCompared, components, attempts, violations, broken, untried, report, problems }
    }
    case undefined:
      return undefined
  }
}

const { settings, instance } = fieldsOf('configuration.changed')
const configuration = Compile(
  Type.Object({
    id: RequestId,
    service: Type.Enum(['gateway', 'tokenizer', 'inference-worker', 'audit']),
    instance,
    names: Type.Array(settings.items, { maxItems: 1024 }),
    lengths: Type.Array(Type.Literal(32)),
  }),
)

export interface Configuration {
  id: string
  service: ServiceName
  instance: string
  /** By names of settings: 32 bytes. */
  fingerprints: ReadonlyMap<string, Uint8Array>
}

export function validConfiguration(request: ConfigureRequest): Configuration {
  const service = services[request.service]
  const entries = Object.entries(request.fingerprints)
  const fields = { id: request.id, service, instance: request.instance, names: entries.map(([name]) => name), lengths: entries.map(([, { length }]) => length) }
  if (!configuration.Check(fields)) throw invalid(configuration.Errors(fields))
  return { id: fields.id, service: fields.service, instance: fields.instance, fingerprints: new Map(entries) }
}
