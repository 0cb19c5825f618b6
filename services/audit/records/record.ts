import Type, { type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { textPattern } from './text-pattern.ts'

/**
 * What the log may hold, field by field: every record is one of these, in RFC 8785 canonical JSON of printable ASCII. Every text has a
 * charset and a length so tight that no prompt or answer fits through. What is not on the list can't be written.
 */
export const recordVersion = 1

/** Longest record that the limits below allow, with room; tlog-tiles would take 65,535 bytes. */
export const maxRecordBytes = 8192

const closed = { additionalProperties: false }
const name = (minLength = 1) => Type.String({ minLength, maxLength: 128, pattern: '^[A-Za-z0-9._:@/+-]*$' })
/** Of a peer or a client: a host name has up to 253 characters. */
const address = Type.String({ maxLength: 264, pattern: '^[A-Za-z0-9._:@/+\\[\\]%-]*$' })
const word = Type.String({ maxLength: 64, pattern: '^[a-z0-9_]*$' })
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const digest = Type.String({ pattern: '^([0-9a-f]{64})?$' })
const version = Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9.+-]*$' })
const time = Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$' })
/** A share or a temperature, as a decimal text: a canonical encoding should not depend on how floats are printed. */
const decimal = Type.String({ maxLength: 24, pattern: '^-?[0-9]+(\\.[0-9]+)?(e[+-]?[0-9]+)?$' })
const settingName = Type.String({ maxLength: 128, pattern: '^[A-Za-z0-9.\\[\\]]+$' })

/** The gateway's ids: also what services/shared/rpc carries. */
export const RequestId = Type.String({ maxLength: 64, pattern: '^[A-Za-z0-9._-]+$' })
export const InstanceName = name()

/** A kind of pod. */
const component = Type.Enum(['gateway', 'tokenizer', 'inference-worker', 'audit'])

/** How somebody proved who they are. */
const auth = Type.Enum(['api_key', 'oidc', 'certificate', 'folder', 'none'])

/** The parameters of a request that change what it may cost or answer, as far as they were sent. */
const parameters = Type.Object(
  {
    maxTokens: Type.Optional(count),
    n: Type.Optional(count),
    temperature: Type.Optional(decimal),
    topP: Type.Optional(decimal),
    seed: Type.Optional(Type.Boolean()),
    tools: Type.Optional(count),
    structured: Type.Optional(Type.Boolean()),
    logprobs: Type.Optional(Type.Boolean()),
  },
  closed,
)

const fields = {
  /** A request was let in. Durable before the first byte of its answer. */
  'request.begin': {
    requestId: RequestId,
    instance: InstanceName,
    gatewayVersion: version,
    team: name(),
    keyId: name(),
    /** Who the person is, where the credential says so (OIDC); empty with an API key. */
    subject: name(0),
    auth,
    model: name(),
    /** SHA-256 of the model's file; empty where it is not known. */
    modelDigest: digest,
    adapter: name(0),
    endpoint: Type.String({ maxLength: 128, pattern: '^[A-Z]{1,16} /[A-Za-z0-9._~/{}-]*$' }),
    stream: Type.Boolean(),
    priority: Type.Enum(['interactive', 'batch']),
    requestBytes: count,
    parameters,
  },
  /** How a request ended. Durable before the last byte of its answer. */
  'request.end': {
    requestId: RequestId,
    /** Whose it was, as in its begin. */
    team: name(),
    outcome: Type.Enum(['completed', 'cancelled', 'failed', 'interrupted']),
    finishReason: word,
    /** Reason of the error; empty if there was none. */
    error: word,
    inputTokens: count,
    cachedTokens: count,
    outputTokens: count,
    responseBytes: count,
    firstTokenUs: count,
    durationUs: count,
    /** What its worker spent on it, the wait for a slot not counted. */
    workerUs: count,
    worker: address,
    workerVersion: version,
    /** Kinds of content that were redacted, and how often each. */
    redactions: Type.Array(Type.Object({ kind: word, count }, closed), { maxItems: 16 }),
  },
  /** Requests that were turned away before they began: wrong or revoked keys, limits, models that a team may not use. */
  'request.refused': {
    /** Empty for a log-in that failed. */
    team: name(0),
    keyId: name(0),
    /** Address of the client, for log-ins that failed; else empty. */
    source: address,
    endpoint: Type.String({ maxLength: 128, pattern: '^([A-Z]{1,16} /[A-Za-z0-9._~/{}-]*)?$' }),
    reason: word,
    instance: InstanceName,
    /** So many alike since the last record of them. */
    count,
  },
  /** A service has started or is stopping, or a peer has come or gone, as the gateway saw it. */
  'service.changed': {
    service: Type.Enum(['gateway', 'tokenizer', 'inference-worker', 'audit']),
    /** Its name; of a peer that the gateway knows by its address alone, that. */
    instance: address,
    event: Type.Enum(['started', 'stopping', 'joined', 'left', 'crashed']),
    version,
    model: name(0),
    modelDigest: digest,
  },
  /** The configuration is another one than at the start before: names of settings, never values. */
  'configuration.changed': { service: Type.Enum(['gateway', 'tokenizer', 'inference-worker', 'audit']), instance: InstanceName, settings: Type.Array(settingName, { maxItems: 64 }), more: count },
  /** Teams and keys. `id` orders the directory's changes: each has a larger one than all before. */
  'directory.changed': {
    id: count,
    changedAt: time,
    event: Type.Enum(['team.created', 'team.changed', 'team.deleted', 'key.created', 'key.revoked', 'key.deleted', 'content_key.created', 'content_key.destroyed']),
    team: name(),
    /** Of the API key, or of the key to kept content; empty for a team's. */
    keyId: name(0),
    /** Names of what was changed. */
    settings: Type.Array(settingName, { maxItems: 16 }),
  },
  /** Somebody read the log as an administrator or auditor. */
  'log.read': {
    by: name(),
    auth,
    operation: Type.Enum(['query', 'export', 'tail', 'usage', 'receipt', 'tiles']),
    team: name(0),
    /** The period that was asked for; empty: open. */
    from: Type.String({ pattern: '^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z)?$' }),
    to: Type.String({ pattern: '^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z)?$' }),
  },
  /** The ledger itself: opened after a clean close or not, paused because it could not write, resumed. */
  'log.opened': { instance: InstanceName, version, clean: Type.Boolean() },
  'log.closed': { instance: InstanceName },
  /** Between `from` and this record nothing could be written; or, with the reason `not_reached`, a gateway could not have it written. */
  'log.gap': {
    from: time,
    reason: Type.Enum(['disk_full', 'read_only', 'io_error', 'slow', 'store_down', 'clock_behind', 'not_reached', 'unknown']),
    /** Requests that were refused meanwhile, as far as the ledger knows. */
    refused: count,
    /** Requests that a gateway answered meanwhile without a record, where the operator allows that (audit.onFailure): all of them, also those that no request.unrecorded tells of. Only with `not_reached`. */
    unrecorded: count,
  },
  /** A request that was answered while the log could not be written, recorded later (audit.onFailure: allow). */
  'request.unrecorded': {
    requestId: RequestId,
    instance: InstanceName,
    team: name(),
    keyId: name(),
    model: name(),
    endpoint: Type.String({ maxLength: 128, pattern: '^[A-Z]{1,16} /[A-Za-z0-9._~/{}-]*$' }),
    beganAt: time,
    outcome: Type.Enum(['completed', 'cancelled', 'failed', 'interrupted']),
    inputTokens: count,
    outputTokens: count,
  },
  /** Pods with each component's labels tried to get through the walls: what came of it. The report itself is kept by who made the check. */
  'isolation.checked': {
    instance: InstanceName,
    /** `held`: nothing got through; `violated`: something did; `unproven`: too little could be tried to say so. */
    outcome: Type.Enum(['held', 'violated', 'unproven']),
    /** Whether outcome and problems are those of the check before. */
    compared: Type.Enum(['first', 'same', 'changed']),
    /** Components that it was tried from. */
    components: Type.Array(component, { maxItems: 8 }),
    attempts: count,
    /** Attempts that got through to what they must not reach. */
    violations: count,
    /** Attempts at what must work that failed. */
    broken: count,
    /** Attempts of which nothing can be said. */
    untried: count,
    /** SHA-256 of the report's bytes. */
    report: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    /** By component and kind of target, the most frequent first. */
    problems: Type.Array(Type.Object({ component, kind: Type.String({ maxLength: 32, pattern: '^[a-z][a-z-]*$' }), verdict: Type.Enum(['violated', 'broken']), count }, closed), { maxItems: 32 }),
  },
  /** Records of a class go, of which only the hashes stay: those that stand before `to` and were recorded before `before`, but begins of requests that had not ended there, and the newest change of the directory. Written before they go. Counts only where `from` is the `to` of the last one of its class that counts, or 0. */
  'log.pruned': {
    class: Type.Enum(['requests', 'security', 'administration']),
    before: time,
    from: count,
    to: count,
    /** So many records. */
    entries: count,
  },
  /** What the records that go with the log.pruned in front of it were counted as in usage, of one month (UTC), team, key, person and model: with it usage stays what it was. */
  'usage.carried': {
    /** As in that log.pruned. */
    from: count,
    to: count,
    month: Type.String({ pattern: '^[0-9]{4}-(0[1-9]|1[0-2])$' }),
    /** Empty for log-ins that failed. */
    team: name(0),
    keyId: name(0),
    subject: name(0),
    model: name(0),
    requests: count,
    refused: count,
    inputTokens: count,
    cachedTokens: count,
    outputTokens: count,
    workerUs: count,
  },
  /** The prompt or the answer of a request was kept, encrypted and outside of the log, as its team wants it. */
  'content.kept': {
    requestId: RequestId,
    team: name(),
    /** Id of the team's key that it is encrypted under. */
    key: name(),
    part: Type.Enum(['prompt', 'answer']),
    pieces: count,
    bytes: count,
    /** HMAC-SHA256 of it and its request under a key that is made of the team's: tells nothing to whoever has not that. */
    fingerprint: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  },
  /** Kept content is deleted from here on: its key was destroyed, or its time is over. */
  'content.erased': {
    team: name(),
    key: name(),
    reason: Type.Enum(['key_destroyed', 'expired']),
    /** Requests whose content it was. */
    items: count,
  },
  /** Somebody read the content of a request that was kept, which needs the team's key to be understood. */
  'content.read': { by: name(), auth, team: name(), requestId: RequestId },
} as const satisfies Record<string, Record<string, TSchema>>

export type RecordType = keyof typeof fields

type FieldsOf<T extends RecordType> = { -readonly [F in keyof (typeof fields)[T]]: (typeof fields)[T][F] extends TSchema ? Static<(typeof fields)[T][F]> : never }

/** A record before it has its place in the log. */
export type Entry = { [T in RecordType]: { type: T } & FieldsOf<T> }[RecordType]
export type EntryOf<T extends RecordType> = Extract<Entry, { type: T }>

/**
 * A record of the log. `at` is the ledger's clock when it was written, which never runs backwards in a log; `clock` says "held" where
 * the machine's clock was behind the record before, whose time it then has.
 */
export type LogRecord = Entry & { v: typeof recordVersion; at: string; clock: 'ok' | 'held' }

const head = { v: Type.Literal(recordVersion), at: time, clock: Type.Enum(['ok', 'held']) }

const schemas = Object.entries(fields).map(([type, own]) => [type, Type.Object({ ...head, type: Type.Literal(type), ...(own as Record<string, TSchema>) }, closed)] as const)
const checks = new Map(schemas.map(([type, schema]) => [type, Compile(schema)]))
/** By type, the pattern of nearly all records: what does not match is looked at by `checks`. And its members in canonicalJson's order, each with what stands before it. */
const forms = new Map(
  schemas.map(([type, schema]) => [
    type,
    { pattern: textPattern(schema, ['requestId', 'outcome']), members: Object.keys(schema.properties).toSorted().map((key) => [key, `,"${key}":`] as const) },
  ]),
)

/** The fields of a type of record, as a schema: what the edge checks a message against. */
export function fieldsOf<T extends RecordType>(type: T): (typeof fields)[T] {
  return fields[type]
}

/** The classes that are kept for times of their own (audit.retention). */
export const prunedClasses = ['requests', 'security', 'administration'] as const
export type PrunedClass = (typeof prunedClasses)[number]
/** permanent: what tells of records that are gone stays as long as the log. */
export type RecordClass = PrunedClass | 'permanent'

export function classOf(type: RecordType): RecordClass {
  if (type === 'request.begin' || type === 'request.end' || type === 'request.unrecorded' || type === 'content.kept') return 'requests'
  if (type === 'request.refused' || type === 'log.read' || type === 'content.read') return 'security'
  if (type === 'log.pruned' || type === 'usage.carried') return 'permanent'
  return 'administration'
}

/** The bytes of a record. Throws an Error that names the field when it is not one that the log may hold. */
export function encodeRecord(record: LogRecord): Uint8Array {
  const text = encodeCommon(record)
  if (text !== undefined) return Buffer.from(text, 'latin1')
  const check = checks.get(record.type)
  if (check === undefined) throw new Error('a record of a type that the log does not know')
  if (!check.Check(record)) {
    const where = check.Errors(record)[0]?.instancePath ?? ''
    throw new Error(`a record that the log does not take, at '${where}'`)
  }
  return Buffer.from(canonicalJson(record), 'latin1')
}

/**
 * As canonicalJson of a record that is one, in a fourth of the time of that and its check; undefined where those are to decide. A text
 * that would need escapes is put in as it is: as all members are there, none can stand in for another, and no pattern matches.
 */
function encodeCommon(record: LogRecord): string | undefined {
  const form = forms.get(record.type)
  if (form === undefined) return undefined
  const members: Record<string, unknown> = record
  let text = ''
  for (const [key, prefix] of form.members) {
    const member = members[key]
    if (typeof member === 'string') text += `${prefix}"${member}"`
    else if (typeof member === 'number' || typeof member === 'boolean') text += `${prefix}${member}`
    else if (typeof member === 'object') text += `${prefix}${canonicalJson(member)}`
    else return undefined
  }
  if (Object.keys(members).length !== form.members.length) return undefined
  text = `{${text.slice(1)}}`
  return form.pattern.test(text) ? text : undefined
}

/** What of a record tells which requests are open. */
export interface Glance {
  type: string
  /** Of a record of one request. */
  requestId: string | undefined
  outcome: string | undefined
}

/** As decodeRecord, in a fifth of the time, for those who need no more of a record: undefined unless the bytes are exactly those of one. */
export function glanceAt(bytes: Uint8Array): Glance | undefined {
  const text = latin1(bytes)
  const type = typeOf(text)
  const match = forms.get(type)?.pattern.exec(text)
  if (match !== null && match !== undefined) return { type, requestId: unquoted(match.groups?.['requestId']), outcome: unquoted(match.groups?.['outcome']) }
  const record = decodeRecord(bytes)
  return record && { type: record.type, requestId: 'requestId' in record ? record.requestId : undefined, outcome: 'outcome' in record ? record.outcome : undefined }
}

/** What the text of a record has for its type. It is only looked for: whether the text is a record of that type, its pattern tells. */
function typeOf(text: string): string {
  const start = text.lastIndexOf(typeMember) + typeMember.length
  return text.slice(start, text.indexOf('"', start))
}

const typeMember = '"type":"'

function unquoted(text: string | undefined): string | undefined {
  return text?.slice(1, -1)
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** The record of an entry; undefined unless the bytes are exactly what encodeRecord makes of it. */
export function decodeRecord(bytes: Uint8Array): LogRecord | undefined {
  const text = latin1(bytes)
  if (forms.get(typeOf(text))?.pattern.test(text) === true) return JSON.parse(text) as LogRecord
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') return undefined
  if (checks.get(value.type)?.Check(value) !== true) return undefined
  // As canonicalJson(value) === text, in a third of the time: parsing keeps the order of members.
  return JSON.stringify(value) === text && isInOrder(value) ? (value as LogRecord) : undefined
}

/** Whether the members of all objects are in canonicalJson's order. */
function isInOrder(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isInOrder)
  if (typeof value !== 'object' || value === null) return true
  let before = ''
  for (const [key, member] of Object.entries(value)) {
    if (key < before || (typeof member === 'object' && !isInOrder(member))) return false
    before = key
  }
  return true
}

/** RFC 8785 for what records are made of: keys in order, whole numbers, and strings that need no escape. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`
}
