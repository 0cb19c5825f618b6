import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { type AttachRequest, Auth, type BeginRequest, type EndRequest, type GetReceiptRequest, Outcome, Priority, type RequestParameters } from '../../proto/gen/intramuros/v1/audit.ts'
import { ServiceError } from '../shared/errors.ts'
import { type EntryOf, fieldsOf, InstanceName, RequestId } from './records/record.ts'

/**
 * The edge of the ledger: what a message says becomes the fields of a record, or INVALID_ARGUMENT invalid_record. Only what is
 * named here can reach the log, and only within the bounds of record.ts. The errors name a field and never its value.
 */
const closed = { additionalProperties: false }
const { team, ...endWithoutTeam } = fieldsOf('request.end')
const beginFields = Compile(Type.Object(fieldsOf('request.begin'), closed))
const endFields = Compile(Type.Object(endWithoutTeam, closed))
const attachFields = Compile(Type.Object({ instance: InstanceName, open: Type.Array(RequestId, { maxItems: 200_000 }) }))
const ReceiptQuestion = Type.Object({ requestId: Type.String({ maxLength: 4096 }), team }, closed)
const receiptQuestion = Compile(ReceiptQuestion)

export type BeginFields = Omit<EntryOf<'request.begin'>, 'type'>
/** The ledger knows the team from the begin. */
export type EndFields = Omit<EntryOf<'request.end'>, 'type' | 'team'>

const outcomes: Partial<Record<Outcome, EndFields['outcome']>> = {
  [Outcome.COMPLETED]: 'completed',
  [Outcome.CANCELLED]: 'cancelled',
  [Outcome.FAILED]: 'failed',
}
const auths: Partial<Record<Auth, BeginFields['auth']>> = { [Auth.API_KEY]: 'api_key' }
const priorities: Partial<Record<Priority, BeginFields['priority']>> = { [Priority.INTERACTIVE]: 'interactive', [Priority.BATCH]: 'batch' }

export function validBegin(request: BeginRequest): BeginFields {
  const { requestId, instance, team: owner, keyId, model, endpoint, stream, requestBytes, gatewayVersion, subject, modelDigest, adapter } = request
  const auth = auths[request.auth]
  const priority = priorities[request.priority]
  const parameters = parametersOf(request.parameters ?? {})
  const fields = { requestId, instance, gatewayVersion, team: owner, keyId, subject, auth, model, modelDigest, adapter, endpoint, stream, priority, requestBytes, parameters }
  if (!beginFields.Check(fields)) throw invalid(beginFields.Errors(fields))
  return fields
}

/** What was not sent is left out. */
function parametersOf({ maxTokens, n, temperature, topP, seed, tools, structured, logprobs }: RequestParameters): BeginFields['parameters'] {
  const texts = { temperature: decimal(temperature), topP: decimal(topP) }
  return Object.fromEntries(Object.entries({ maxTokens, n, ...texts, seed, tools, structured, logprobs }).filter(([, value]) => value !== undefined))
}

function decimal(number: number | undefined): string | undefined {
  return number === undefined ? undefined : String(number)
}

export function validEnd(request: EndRequest): EndFields {
  const { requestId, finishReason, error, inputTokens, cachedTokens, outputTokens, responseBytes, worker, workerVersion } = request
  const outcome = outcomes[request.outcome]
  const firstTokenUs = Number(request.firstTokenUs)
  const durationUs = Number(request.durationUs)
  const workerUs = Number(request.workerUs)
  const counts = { inputTokens, cachedTokens, outputTokens, responseBytes, firstTokenUs, durationUs, workerUs }
  const redactions = request.redactions.map(({ kind, count }) => ({ kind, count }))
  const fields = { requestId, outcome, finishReason, error, ...counts, worker, workerVersion, redactions }
  if (!endFields.Check(fields)) throw invalid(endFields.Errors(fields))
  return fields
}

export function validAttach(request: AttachRequest): AttachRequest {
  if (!attachFields.Check(request)) throw invalid(attachFields.Errors(request))
  return request
}

/** The request's id is whatever somebody asked for: what can't be one is just not found. */
export function validReceiptQuestion({ requestId, team: asker }: GetReceiptRequest): Static<typeof ReceiptQuestion> {
  const fields = { requestId, team: asker }
  if (!receiptQuestion.Check(fields)) throw invalid(receiptQuestion.Errors(fields))
  return fields
}

export function invalid(problems: { instancePath: string }[]): ServiceError {
  const field = problems[0]?.instancePath.split('/')[1] ?? ''
  const what = field === '' ? 'fields are' : `'${field}' is`
  return new ServiceError('INVALID_ARGUMENT', 'invalid_record', `The record's ${what} not valid.`, field === '' ? {} : { param: field })
}
