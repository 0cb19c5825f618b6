import type { DatabaseSync } from 'node:sqlite'
import { isSecret } from './api-key.ts'
import { blobOf, numberOf, type Row, textOf, transaction } from './database.ts'
import { hmacOf } from './hmac-key.ts'
import { modelsOf } from './models-column.ts'

/** What a valid key stands for. */
export interface Credential {
  readonly team: string
  /**
   * The team itself, not its name: one that was removed and another that was given its name later are two. Caches are kept apart by
   * it. Same charset as a name's, with an @.
   */
  readonly teamId: string
  /** Public id of the key; safe to log. */
  readonly keyId: string
  /** Ids of the models that the team may use; empty: every served one. */
  readonly models: readonly string[]
  /** The team takes no unknown parameters. */
  readonly strictParameters: boolean
  /** The team's share where teams wait for each other. */
  readonly weight: number
  /** The team's requests can wait for others'. */
  readonly batch: boolean
  /** Id of the key that the team's content is kept under; empty: none is kept. */
  readonly contentKeyId: string
  mayUse(model: string): boolean
}

export interface Credentials {
  /** The live key that this secret is; undefined when there is none. Synchronous, some microseconds. Throws SQLite's errors. */
  find(secret: string): Credential | undefined
  /** To be called after a commit of this very connection, which doesn't move its data_version. */
  changed(): void
}

/**
 * All live keys in memory, by HMAC. Each look-up asks SQLite for data_version, which moves when another process has committed,
 * and then reads the keys again: a key that was revoked a moment ago is refused, and while the file can't be read, so are all.
 *
 * A Map may compare without constant time here: what it compares are HMACs under a key that the caller doesn't know, so that how
 * far two of them agree says nothing about how far a guess was right.
 */
export function createCredentials(database: DatabaseSync, hmacKey: Uint8Array): Credentials {
  const dataVersion = database.prepare('PRAGMA data_version')
  const liveKeys = database.prepare(
    `SELECT api_key.id, api_key.hmac, ${termsColumns}
     FROM api_key JOIN team ON team.name = api_key.team LEFT JOIN content_key ON content_key.name = team.content_key WHERE api_key.revoked_at IS NULL`,
  )
  let loadedVersion: number | undefined
  let byHmac = new Map<string, Credential>()

  function currentVersion(): number {
    return numberOf(dataVersion.get(), 'data_version')
  }

  function load(): void {
    transaction(database, 'read', () => {
      const loaded = new Map<string, Credential>()
      for (const row of liveKeys.iterate()) {
        loaded.set(
          Buffer.from(blobOf(row, 'hmac')).toString('hex'),
          credential(row),
        )
      }
      byHmac = loaded
      // Inside the transaction it is the version of what was read.
      loadedVersion = currentVersion()
    })
  }

  return {
    find(secret) {
      if (!isSecret(secret)) return undefined
      if (loadedVersion === undefined || loadedVersion !== currentVersion()) load()
      return byHmac.get(hmacOf(hmacKey, secret).toString('hex'))
    },
    changed() {
      loadedVersion = undefined
    },
  }
}

export function teamIdOf(name: string, createdAt: string): string {
  return `${name}@${Date.parse(createdAt).toString(36)}`
}

function credential(row: Row): Credential {
  return credentialOf(termsOf(row), textOf(row, 'id'))
}

/** What is said of a team to those who check its keys. */
export type TeamTerms = Pick<Credential, 'models' | 'strictParameters' | 'weight' | 'batch' | 'contentKeyId'> & { name: string; createdAt: string }

export const termsColumns = 'team.name, team.models, team.strict_parameters, team.weight, team.batch, team.created_at, team.content_key, content_key.key_id AS content_key_id'

export function termsOf(row: Row): TeamTerms {
  return {
    name: textOf(row, 'name'),
    models: modelsOf(row),
    strictParameters: numberOf(row, 'strict_parameters') !== 0,
    weight: numberOf(row, 'weight'),
    batch: numberOf(row, 'batch') !== 0,
    createdAt: textOf(row, 'created_at'),
    // A key that is not there must not count as none that is wanted: textOf throws.
    contentKeyId: textOf(row, 'content_key') === '' ? '' : textOf(row, 'content_key_id'),
  }
}

export function credentialOf({ name, createdAt, models, strictParameters, weight, batch, contentKeyId }: TeamTerms, keyId: string): Credential {
  const allowed = new Set(models)
  const mayUse = (model: string): boolean => allowed.size === 0 || allowed.has(model)
  return Object.freeze({ team: name, teamId: teamIdOf(name, createdAt), keyId, models, strictParameters, weight, batch, contentKeyId, mayUse })
}
