import type { Hmac } from 'node:crypto'
import { ContentPart, type SealedPiece } from '../../../proto/gen/intramuros/v1/content.ts'
import { ContentError } from '../../shared/content/content-error.ts'
import { type DataKey, fingerprintOf, newDataKey, type PiecePlace, sealPiece } from '../../shared/content/seal.ts'
import { readTeamKeyOf, type TeamKey } from '../../shared/content/team-key.ts'
import { ServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'

/** Encrypts the content of one request. */
export interface Sealer {
  /** Throws UNAVAILABLE content_unavailable when the team's key is gone meanwhile. */
  seal(place: PiecePlace, plaintext: Uint8Array): SealedPiece
  /** To be fed with the plaintext of each part. */
  fingerprints: { prompt: Hmac; answer: Hmac }
}

export interface DataKeys {
  /**
   * For a request of a team, by the key that the directory says. Reads the team's key each time: one whose file is gone is used no more.
   * Throws UNAVAILABLE content_unavailable when the key can't be read, or is another one.
   */
  sealerOf(request: { teamId: string; keyId: string; requestId: string }): Promise<Sealer>
  /** Forgets the data keys of days that are over, and those whose team key is gone. */
  sweep(): Promise<void>
  /** Forgets all. */
  close(): void
}

export interface DataKeysOptions {
  /** Folder of the teams' keys; empty: there is none. */
  folder: string
  /** Milliseconds since 1970. */
  clock: () => number
  log: Logger
}

interface Used {
  dataKey: DataKey
  pieces: number
  /** The team's key was not there any more. */
  gone: boolean
}

/** Far from the 2^32 random nonces that a key may have. */
const mostPieces = 2 ** 28

export function createDataKeys({ folder, clock, log }: DataKeysOptions): DataKeys {
  const dataKeys = new Map<string, Used>()
  let troubled = ''

  function today(): string {
    return new Date(clock()).toISOString().slice(0, 10)
  }

  /** Also for requests under way: a key that is wiped must not encrypt. */
  function forget(name: string): void {
    const used = dataKeys.get(name)
    if (used === undefined) return
    used.gone = true
    used.dataKey.key.fill(0)
    dataKeys.delete(name)
  }

  async function read(keyId: string): Promise<TeamKey> {
    try {
      if (folder === '') throw new ContentError('gateway.contentKeyFolder is not set.')
      const key = await readTeamKeyOf(folder, keyId)
      troubled = ''
      return key
    } catch (thrown) {
      const why = thrown instanceof ContentError ? { why: thrown.message } : { err: describeError(thrown) }
      if (troubled !== keyId) log.error({ key: keyId, ...why }, 'the key to the content of a team can not be read: its requests are refused')
      troubled = keyId
      throw contentUnavailable(thrown)
    }
  }

  return {
    async sealerOf({ teamId, keyId, requestId }) {
      const name = `${teamId}/${keyId}`
      let teamKey: TeamKey
      try {
        teamKey = await read(keyId)
      } catch (thrown) {
        forget(name)
        throw thrown
      }
      let used = dataKeys.get(name)
      if (used === undefined || used.dataKey.day !== today() || used.pieces >= mostPieces) {
        // The one before is not wiped: requests that are under way go on with it.
        used = { dataKey: newDataKey(teamKey, { teamId, day: today() }), pieces: 0, gone: false }
        dataKeys.set(name, used)
      }
      const own = used
      const fingerprint = (part: SealedPiece['part']): Hmac => fingerprintOf(teamKey, { teamId, requestId, part })
      const fingerprints = { prompt: fingerprint(ContentPart.PROMPT), answer: fingerprint(ContentPart.ANSWER) }
      teamKey.bytes.fill(0)
      return {
        fingerprints,
        seal(place, plaintext) {
          if (own.gone) throw contentUnavailable(new ContentError(`The key ${keyId} is gone.`))
          own.pieces += 1
          return sealPiece(own.dataKey, place, plaintext)
        },
      }
    },
    async sweep() {
      for (const [name, { dataKey }] of dataKeys) {
        if (dataKey.day !== today()) dataKeys.delete(name)
        else await read(dataKey.keyId).then(({ bytes }) => bytes.fill(0), () => forget(name))
      }
    },
    close() {
      for (const name of dataKeys.keys()) forget(name)
    },
  }
}

export function contentUnavailable(cause: unknown): ServiceError {
  return new ServiceError('UNAVAILABLE', 'content_unavailable', 'Your team has its content kept, and that of this request could not be, so it was not answered. Try again.', { retryAfterMs: 2000, cause })
}
