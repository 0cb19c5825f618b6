import { hash } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * What the log holds: one line of canonical JSON a record, in printable ASCII. Every text has a charset and a length so tight that
 * no prompt or answer fits through, and none that JSON would have to escape.
 */
const name = (minLength: number) => Type.String({ minLength, maxLength: 128, pattern: '^[A-Za-z0-9._:@/+-]*$' })
const reason = Type.String({ maxLength: 64, pattern: '^[a-z0-9_]*$' })
const count = Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })
const microseconds = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** The gateway's ids: also what services/shared/rpc carries. */
export const RequestId = Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9._-]+$' })
export const InstanceName = name(1)

const closed = { additionalProperties: false }

const beginFields = {
  requestId: RequestId,
  instance: InstanceName,
  team: name(1),
  keyId: name(1),
  model: name(1),
  endpoint: Type.String({ maxLength: 128, pattern: '^[A-Z]{1,16} /[A-Za-z0-9._~/{}-]*$' }),
  stream: Type.Boolean(),
  requestBytes: count,
}

const endFields = {
  requestId: RequestId,
  outcome: Type.Enum(['completed', 'cancelled', 'failed']),
  finishReason: reason,
  error: reason,
  inputTokens: count,
  outputTokens: count,
  responseBytes: count,
  firstTokenUs: microseconds,
  durationUs: microseconds,
  worker: Type.String({ maxLength: 128, pattern: '^[A-Za-z0-9._:@/+\\[\\]-]*$' }),
}

export const BeginFields = Type.Object(beginFields, closed)
export type BeginFields = Static<typeof BeginFields>
export const EndFields = Type.Object(endFields, closed)
export type EndFields = Static<typeof EndFields>

/** A record before it has its place in the log. An interrupted request ended unseen: nothing more is known of it. */
export type Entry =
  | ({ type: 'begin' } & BeginFields)
  | ({ type: 'end' } & EndFields)
  | { type: 'end'; requestId: string; outcome: 'interrupted' }

/** `seq` counts from 0, `at` is the ledger's clock (RFC 3339, UTC, ms), `prev` the hash of the line before. */
export type LogRecord = { seq: number; at: string; prev: string } & Entry

const place = {
  seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  at: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$' }),
  prev: Type.String({ pattern: '^[0-9a-f]{64}$' }),
}

const beginLine = Compile(Type.Object({ ...place, type: Type.Literal('begin'), ...beginFields }, closed))
const endLine = Compile(Type.Object({ ...place, type: Type.Literal('end'), ...endFields }, closed))
const interruptedLine = Compile(
  Type.Object({ ...place, type: Type.Literal('end'), requestId: RequestId, outcome: Type.Literal('interrupted') }, closed),
)

/** `prev` of the first record. */
export const noHash = '0'.repeat(64)

/** Longest line that the limits above allow, with room. */
export const maxLineBytes = 2048

/** The line of a validated entry, without its newline. */
export function encodeLine(seq: number, at: string, entry: Entry, prev: string): string {
  if (entry.type === 'begin') {
    const { type, requestId, instance, team, keyId, model, endpoint, stream, requestBytes } = entry
    return JSON.stringify({ seq, at, type, requestId, instance, team, keyId, model, endpoint, stream, requestBytes, prev })
  }
  const { type, requestId, outcome } = entry
  if (outcome === 'interrupted') return JSON.stringify({ seq, at, type, requestId, outcome, prev })
  const { finishReason, error, inputTokens, outputTokens, responseBytes, firstTokenUs, durationUs, worker } = entry
  return JSON.stringify({
    seq, at, type, requestId, outcome, finishReason, error,
    inputTokens, outputTokens, responseBytes, firstTokenUs, durationUs, worker, prev,
  })
}

/** The record of a line; undefined unless the line is byte for byte what encodeLine makes of it. */
export function decodeLine(line: string): LogRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (!beginLine.Check(value) && !endLine.Check(value) && !interruptedLine.Check(value)) return undefined
  return encodeLine(value.seq, value.at, value, value.prev) === line ? value : undefined
}

/**
 * Hex SHA-256 of a line with its newline: what `sed -n 5p audit.log | sha256sum` prints. A later Merkle tree can take the same bytes
 * as its leaves.
 */
export function hashLine(lineWithNewline: string | Uint8Array): string {
  return hash('sha256', lineWithNewline)
}
