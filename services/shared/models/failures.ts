import { isUnpinned, type ModelEntry } from './catalogue.ts'

/** One source can't give the file; the next one is tried. The message is a reason in plain words, for people. */
export class SourceFailed extends Error {
  override readonly name = 'SourceFailed'
}

/** A try that may go better when repeated: a broken connection, a busy server. */
export class Interrupted extends SourceFailed {
  /** Milliseconds that the server asks to be left alone. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, detail: { retryAfterMs?: number | undefined; cause?: unknown } = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.retryAfterMs = detail.retryAfterMs
  }
}

/** Nobody answered at all: no address, no connection, no TLS. Repeated only when the same download was under way before. */
export class Unreachable extends Interrupted {}

/** The fault is on this machine (disk full, no permission), so that no other source would do better. */
export class LocalFailure extends Error {
  override readonly name = 'LocalFailure'
}

export interface Attempt {
  source: string
  reason: string
}

/** No source gave the model. The message is meant to be printed as it is. */
export class ModelUnavailable extends Error {
  override readonly name = 'ModelUnavailable'
  readonly attempts: readonly Attempt[]
  /** It comes from nowhere but this machine: to try again would not help. */
  readonly local: boolean

  constructor(entry: ModelEntry, attempts: readonly Attempt[], place: string | undefined) {
    super(
      [`The model ${entry.id} is not here and could not be fetched:`, ...attempts.map(line), ...byHand(entry, place)].join('\n'),
    )
    this.attempts = attempts
    this.local = entry.from.hub === undefined && entry.from.package === undefined
  }
}

function line({ source, reason }: Attempt): string {
  return `  - ${source}: ${reason}`
}

function byHand(entry: ModelEntry, place: string | undefined): string[] {
  if (isUnpinned(entry)) return [`"intramuros models pull ${entry.id}" fetches it, shows its SHA-256, and pins it once you confirm.`]
  if (place === undefined)
    return ["Put the file where from.path of the model's entry says, or correct from.path in the configuration file."]
  return [
    'To put it in place by hand, get the file from a machine that has it and copy it to',
    `  ${place}`,
    `or set from.path, in an entry with this id under 'models' in the configuration file, to where it lies. It must be ${entry.file} with`,
    `  size     ${entry.size === undefined ? 'not stated' : `${entry.size} bytes`}`,
    `  SHA-256  ${entry.sha256 ?? 'not stated'}`,
    ...(entry.parts === undefined ? [] : [`and the other ${entry.parts.length} of its parts must lie beside it, as its entry pins them.`]),
  ]
}

const words: Record<string, string> = {
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up (no DNS answer)',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection broken',
  EPIPE: 'connection broken',
  EPROTO: 'no TLS spoken there',
  ETIMEDOUT: 'no connection in time',
  ENETUNREACH: 'network unreachable',
  EHOSTUNREACH: 'host unreachable',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_PROXY_INVALID_CONFIG: 'the proxy setting is not a valid http:// or https:// URL',
  ERR_PROXY_TUNNEL: 'the proxy refused the connection',
}

const untrusted = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/**
 * A network error in plain words, with its code for those who search for it. Never its message, which may hold a URL with
 * credentials.
 */
export function networkReason(error: unknown): string {
  const code = errorCode(error)
  if (code === undefined) return 'connection failed'
  if (untrusted.has(code))
    return `its certificate is signed by nobody known here; name the CA with SSL_CERT_FILE or PIP_CERT (${code})`
  return `${words[code] ?? 'connection failed'} (${code})`
}

/** A failed write turned into a LocalFailure where the machine is at fault; other errors as they are. */
export function diskFailure(error: unknown, folder: string): unknown {
  switch (errorCode(error)) {
    case 'ENOSPC':
      return new LocalFailure(
        `No space left on the disk of ${folder}. Free some and start again: the download goes on where it stopped.`,
      )
    case 'EDQUOT':
      return new LocalFailure(`The disk quota is used up in ${folder}. Free some space and start again.`)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new LocalFailure(`${folder} can't be written by this user.`)
    case 'EFBIG':
      return new LocalFailure(`The file system of ${folder}, or a limit of this session, doesn't allow a file of this size.`)
    default:
      return error
  }
}

export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'string') return error.code
  // Trying both address families fails with an AggregateError; its first part says why.
  return error instanceof AggregateError ? errorCode(error.errors[0]) : undefined
}
