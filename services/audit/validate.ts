import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { type AttachRequest, type BeginRequest, type EndRequest, Outcome } from '../../proto/gen/intramuros/v1/audit.ts'
import { ServiceError } from '../shared/errors.ts'
import { BeginFields, EndFields, InstanceName, RequestId } from './log/record.ts'

/**
 * The edge of the ledger: what a message says becomes the fields of a record, or INVALID_ARGUMENT invalid_record. Only what is
 * named here can reach the log, and only within the bounds of record.ts. The errors name a field and never its value.
 */
const beginFields = Compile(BeginFields)
const endFields = Compile(EndFields)
const attachFields = Compile(Type.Object({ instance: InstanceName, open: Type.Array(RequestId, { maxItems: 200_000 }) }))

const outcomes: Partial<Record<Outcome, EndFields['outcome']>> = {
  [Outcome.COMPLETED]: 'completed',
  [Outcome.CANCELLED]: 'cancelled',
  [Outcome.FAILED]: 'failed',
}

export function validBegin(request: BeginRequest): BeginFields {
  const { requestId, instance, team, keyId, model, endpoint, stream, requestBytes } = request
  const fields = { requestId, instance, team, keyId, model, endpoint, stream, requestBytes }
  if (!beginFields.Check(fields)) throw invalid(beginFields.Errors(fields))
  return fields
}

export function validEnd(request: EndRequest): EndFields {
  const { requestId, finishReason, error, inputTokens, outputTokens, responseBytes, worker } = request
  const outcome = outcomes[request.outcome]
  const firstTokenUs = Number(request.firstTokenUs)
  const durationUs = Number(request.durationUs)
  const counts = { inputTokens, outputTokens, responseBytes, firstTokenUs, durationUs }
  const fields = { requestId, outcome, finishReason, error, ...counts, worker }
  if (!endFields.Check(fields)) throw invalid(endFields.Errors(fields))
  return fields
}

export function validAttach(request: AttachRequest): AttachRequest {
  if (!attachFields.Check(request)) throw invalid(attachFields.Errors(request))
  return request
}

function invalid(problems: { instancePath: string }[]): ServiceError {
  const field = problems[0]?.instancePath.split('/')[1] ?? ''
  const what = field === '' ? 'fields are' : `'${field}' is`
  return new ServiceError('INVALID_ARGUMENT', 'invalid_record', `The record's ${what} not valid.`, field === '' ? {} : { param: field })
}
