import type { IncomingHttpHeaders } from 'node:http'
import type { Directory } from '../shared/directory/directory.ts'
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
  mayUse(model: string): boolean
}

/** What workers share their time out, and keep caches apart, by. */
export function shareOf({ teamId, weight, batch }: Principal): { team: string; weight: number; batch: boolean } {
  return { team: teamId, weight, batch }
}

/** The key is a bearer token (RFC 6750), or Anthropic's x-api-key. Throws UNAUTHENTICATED invalid_api_key. */
export function authenticate(directory: Directory, headers: IncomingHttpHeaders): Principal {
  const { authorization, 'x-api-key': apiKey } = headers
  const sent = authorization === undefined || authorization === '' ? undefined : /^Bearer +(\S{1,256})$/i.exec(authorization)?.[1]
  if (authorization === undefined && apiKey === undefined) {
    throw unauthenticated('No API key was sent. Send it in the Authorization header: "Authorization: Bearer YOUR_KEY".')
  }
  const secret = sent ?? (typeof apiKey === 'string' && apiKey.length <= 256 ? apiKey : undefined)
  const entry = secret === undefined ? undefined : directory.authenticate(secret)
  if (entry === undefined) {
    throw unauthenticated('The API key is not valid: it is unknown, was revoked, or is not complete. "intramuros keys list" shows which keys there are.')
  }
  return entry
}

function unauthenticated(message: string): ServiceError {
  return new ServiceError('UNAUTHENTICATED', 'invalid_api_key', message)
}
