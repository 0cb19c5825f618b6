import type { Directory } from '../shared/directory/directory.ts'
import { ServiceError } from '../shared/errors.ts'

/** Who asks. Comes from the verified key alone, never from a header or field that a client can set. */
export interface Principal {
  team: string
  /** Public id of the key; safe to log. */
  keyId: string
  mayUse(model: string): boolean
}

/** Throws UNAUTHENTICATED invalid_api_key. `authorization` is the header's value. */
export function authenticate(directory: Directory, authorization: string | undefined): Principal {
  if (authorization === undefined || authorization === '') {
    throw unauthenticated('No API key was sent. Send it in the Authorization header: "Authorization: Bearer YOUR_KEY".')
  }
  const secret = /^Bearer +(\S{1,256})$/i.exec(authorization)?.[1]
  const entry = secret === undefined ? undefined : directory.authenticate(secret)
  if (entry === undefined) {
    throw unauthenticated('The API key is not valid: it is unknown, was revoked, or is not complete. "intramuros keys list" shows which keys there are.')
  }
  return entry
}

function unauthenticated(message: string): ServiceError {
  return new ServiceError('UNAUTHENTICATED', 'invalid_api_key', message)
}
