import type { IncomingHttpHeaders } from 'node:http'
import type { KeyCheck } from '../shared/directory/directory.ts'
import type { Exchange } from './http/exchange.ts'
import type { Refusals } from './refusals.ts'
import { ServiceError } from '../shared/errors.ts'

/** Who asks. Comes from the verified key alone, never from a header or field that a client can set. */
export interface Principal {
  team: string
  /** What its caches go by: another team that gets the name of a removed one has another. */
  teamId: string
  /** Public id of the key; safe to log. */
  keyId: string
  /** Unknown parameters are refused rather than ignored. */
  strictParameters: boolean
  /** The team's share where teams wait for each other. */
  weight: number
  /** The team's requests can wait for others'. */
  batch: boolean
  /** Id of the key that the team's content is kept under; empty: none is kept. */
  contentKeyId: string
  mayUse(model: string): boolean
}

/** What workers share their time out, and keep caches apart, by. */
export function shareOf({ teamId, weight, batch }: Principal): { team: string; weight: number; batch: boolean } {
  return { team: teamId, weight, batch }
}

/** Who asks with this request; one who can't tell is noted with the address that they ask from. Throws UNAUTHENTICATED invalid_api_key. */
export function identify({ keys, refusals }: { keys: KeyCheck; refusals: Refusals }, { request }: Exchange, endpoint: string): Principal {
  const { sent, secret } = keyIn(request.headers)
  const entry = secret === undefined ? undefined : keys.authenticate(secret)
  if (entry !== undefined) return entry
  const revoked = secret === undefined ? undefined : keys.revokedKey(secret)
  const reason = revoked !== undefined ? 'revoked_api_key' : sent ? 'invalid_api_key' : 'missing_api_key'
  refusals.note({ team: revoked?.team ?? '', keyId: revoked?.keyId ?? '', source: addressOf(request.socket.remoteAddress), endpoint, reason })
  if (!sent) throw unauthenticated('No API key was sent. Send it in the Authorization header: "Authorization: Bearer YOUR_KEY".')
  throw unauthenticated('The API key is not valid: it is unknown, was revoked, or is not complete. "intramuros keys list" shows which keys there are.')
}

/** The key is a bearer token (RFC 6750), or Anthropic's x-api-key. `secret` is undefined for what can't be one. */
function keyIn({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): { sent: boolean; secret: string | undefined } {
  const bearer = authorization === undefined || authorization === '' ? undefined : /^Bearer +(\S{1,256})$/i.exec(authorization)?.[1]
  return { sent: authorization !== undefined || apiKey !== undefined, secret: bearer ?? (typeof apiKey === 'string' && apiKey.length <= 256 ? apiKey : undefined) }
}

/** An IPv4 address as such, also where the socket takes both kinds. */
function addressOf(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '')
}

function unauthenticated(message: string): ServiceError {
  return new ServiceError('UNAUTHENTICATED', 'invalid_api_key', message)
}
