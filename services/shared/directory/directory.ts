import { join } from 'node:path'
import { ServiceError } from '../errors.ts'
import { isSecret, newKeyId, newSecret } from './api-key.ts'
import { type DirectoryChange, createChanges } from './changes.ts'
import { type ContentKey, createContentKeys } from './content-keys.ts'
import { createCredentials, type Credential, teamIdOf, type TeamTerms, termsColumns, termsOf } from './credentials.ts'
import { blobOf, imageOf, numberOf, type OpenDatabase, openDatabase, openImage, optionalTextOf, type Row, textOf, transaction } from './database.ts'
import { DirectoryError, withDirectoryErrors } from './directory-error.ts'
import { hmacOf } from './hmac-key.ts'
import { modelsOf } from './models-column.ts'
import { checkLabel, checkModels, checkTeamName, checkWeight, unknownKey, unknownTeam } from './names.ts'

export interface Team {
  name: string
  /** Ids of the models that the team may use; empty: every served one. */
  models: readonly string[]
  /** Requests with parameters that the API does not know are refused; else these are ignored, and named in a response header. */
  strictParameters: boolean
  /** Its share where teams wait for each other, from 0.001 to 1000; 2 is twice the share of 1. */
  weight: number
  /** All of its requests are work that can wait for others'. */
  batch: boolean
  /** Name of the key that its content is kept under; empty: none is kept. */
  contentKey: string
  /** RFC 3339, UTC. */
  createdAt: string
}

/** What can be changed of a team. */
export type TeamChanges = Partial<Pick<Team, 'strictParameters' | 'weight' | 'batch' | 'contentKey'>>

export interface ApiKey {
  id: string
  team: string
  label: string | undefined
  /** RFC 3339, UTC. */
  createdAt: string
  /** RFC 3339, UTC; undefined while the key is live. */
  revokedAt: string | undefined
}

export interface DirectoryOptions {
  /** State folder: holds `directory.sqlite` and `directory.key`. */
  home: string
  /** For services, which only ask. The directory must exist. */
  readOnly?: boolean
  /** Make the directory when there is none. Default: unless readOnly. */
  create?: boolean
  now?: () => Date
}

/**
 * Teams and their API keys. Every change is durable when its method returns, and counts at once in all processes that have the
 * directory open. All methods are synchronous and, but for `authenticate`, throw DirectoryError.
 */
export interface Directory extends KeyCheck {
  /** `models`: empty for every served model. Each must be among `knownModels` when that is given. */
  addTeam(name: string, models: readonly string[], knownModels?: readonly string[]): Team
  /** What is left out stays as it is. */
  changeTeam(name: string, changes: TeamChanges): Team
  /** By name. */
  listTeams(): Team[]
  /** Refuses while the team has live keys, unless `force`, which revokes them. Answers with the keys that it revoked. */
  removeTeam(name: string, options?: { force?: boolean }): ApiKey[]
  /** `secret` is the API key itself. It is nowhere else: only its HMAC is stored. */
  createKey(team: string, label?: string): ApiKey & { secret: string }
  /** By time; revoked ones as well, of removed teams too. */
  listKeys(team?: string): ApiKey[]
  /** Revoking a revoked key changes nothing and answers with what it was. */
  revokeKey(id: string): ApiKey
  /** Makes a key known that is in its file. Refuses a name that there was before, also one that was destroyed. */
  addContentKey(key: Pick<ContentKey, 'name' | 'team' | 'keyId'>): ContentKey
  /** By time; destroyed ones as well. */
  listContentKeys(): ContentKey[]
  /** From then on the key is used no more. Refuses while a team's content is kept under it; once destroyed, it changes nothing. */
  destroyContentKey(name: string): ContentKey
  /** Changes with larger ids than this one, in their order, at most so many. */
  changesAfter(id: number, limit: number): DirectoryChange[]
  /** Id of the newest change; 0 when there is none. */
  lastChange(): number
  /** All of it in one piece, secret: for openDirectoryImage. */
  image(): Buffer
  /** All that is needed to check keys elsewhere. */
  terms(): DirectoryTerms
  /** Moves when another process has changed something. */
  version(): number
}

/** Whose an API key is. */
export interface KeyCheck {
  /** Undefined for an unknown, revoked or misspelt key. Throws UNAVAILABLE directory_unavailable when that can't be told. */
  authenticate(secret: string): Credential | undefined
  /** Whose a key was that is no longer valid; undefined for any other text. Throws UNAVAILABLE directory_unavailable. */
  revokedKey(secret: string): { team: string; keyId: string } | undefined
  close(): void
}

export interface DirectoryTerms {
  /** 32 bytes. */
  hmacKey: Uint8Array
  teams: TeamTerms[]
  /** `hmac`: 32 bytes. */
  keys: { hmac: Uint8Array; id: string; team: string; revoked: boolean }[]
}

/** Throws DirectoryError. */
export function openDirectory({ home, readOnly = false, create = true, now = () => new Date() }: DirectoryOptions): Directory {
  return directoryOn(withDirectoryErrors(join(home, 'directory.sqlite'), () => openDatabase(home, { readOnly, create: create && !readOnly })), now)
}

export interface ImageOptions {
  /** What errors call it by. */
  name: string
  /** Bring one of an older version up to date, which is refused else. */
  mayMigrate: boolean
  now?: () => Date
}

/** One in memory alone: what image() gave, or without it an empty one. Throws DirectoryError. */
export function openDirectoryImage(image: Uint8Array | undefined, { name, mayMigrate, now = () => new Date() }: ImageOptions): Directory {
  return directoryOn(withDirectoryErrors(name, () => openImage(image, { file: name, mayMigrate })), now)
}

function directoryOn(open: OpenDatabase, now: () => Date): Directory {
  const { database, file, hmacKey } = open
  const selectTeams = database.prepare('SELECT name, models, strict_parameters, weight, batch, content_key, created_at FROM team ORDER BY name')
  const selectTeam = database.prepare('SELECT name FROM team WHERE name = ?')
  const insertTeam = database.prepare('INSERT INTO team (name, models, created_at) VALUES (?, ?, ?)')
  const updateTeam = database.prepare('UPDATE team SET strict_parameters = ?, weight = ?, batch = ?, content_key = ? WHERE name = ?')
  const deleteTeam = database.prepare('DELETE FROM team WHERE name = ?')
  const selectKeys = database.prepare('SELECT id, team, label, created_at, revoked_at FROM api_key ORDER BY created_at, id')
  const selectKey = database.prepare('SELECT id, team, label, created_at, revoked_at FROM api_key WHERE id = ?')
  const insertKey = database.prepare('INSERT INTO api_key (id, team, hmac, label, created_at) VALUES (?, ?, ?, ?, ?)')
  const updateRevoked = database.prepare('UPDATE api_key SET revoked_at = ? WHERE id = ?')
  const selectRevoked = database.prepare('SELECT id, team FROM api_key WHERE hmac = ? AND revoked_at IS NOT NULL')
  const selectTerms = database.prepare(`SELECT ${termsColumns} FROM team LEFT JOIN content_key ON content_key.name = team.content_key ORDER BY team.name`)
  const selectHmacs = database.prepare('SELECT id, team, hmac, revoked_at FROM api_key ORDER BY id')
  const dataVersion = database.prepare('PRAGMA data_version')
  const credentials = createCredentials(database, hmacKey)
  const changes = createChanges(database)
  const contentKeys = createContentKeys(database, changes)

  function reading<T>(body: () => T): T {
    return withDirectoryErrors(file, () => transaction(database, 'read', body))
  }

  function writing<T>(body: () => T): T {
    try {
      return withDirectoryErrors(file, () => transaction(database, 'write', body))
    } finally {
      credentials.changed()
    }
  }

  const teams = (): Team[] => selectTeams.all().map(teamOf)
  const keys = (): ApiKey[] => selectKeys.all().map(keyOf)

  function requireTeam(name: string): void {
    if (selectTeam.get(name) === undefined) throw unknownTeam(name, teams().map((team) => team.name))
  }

  function revoke(key: ApiKey): ApiKey {
    if (key.revokedAt !== undefined) return key
    const revokedAt = now().toISOString()
    updateRevoked.run(revokedAt, key.id)
    changes.note({ changedAt: revokedAt, event: 'key.revoked', team: key.team, keyId: key.id })
    return { ...key, revokedAt }
  }

  return {
    addTeam(name, models, knownModels) {
      checkTeamName(name)
      checkModels(models, knownModels)
      return writing(() => {
        if (selectTeam.get(name) !== undefined) throw new DirectoryError(`Team "${name}" already exists.`)
        const team = { name, models: [...new Set(models)], strictParameters: false, weight: 1, batch: false, contentKey: '', createdAt: now().toISOString() }
        insertTeam.run(name, JSON.stringify(team.models), team.createdAt)
        changes.note({ changedAt: team.createdAt, event: 'team.created', team: name, settings: team.models.length > 0 ? ['models'] : [] })
        return team
      })
    },
    changeTeam(name, wanted) {
      checkWeight(wanted.weight ?? 1)
      return writing(() => {
        const all = teams()
        const team = all.find((one) => one.name === name)
        if (team === undefined) throw unknownTeam(name, all.map((one) => one.name))
        const changed = { ...team, ...wanted }
        if (changed.contentKey !== '') contentKeys.require(changed.contentKey, teamIdOf(name, team.createdAt))
        const settings = (['strictParameters', 'weight', 'batch', 'contentKey'] as const).filter((one) => changed[one] !== team[one])
        if (settings.length > 0) changes.note({ changedAt: now().toISOString(), event: 'team.changed', team: name, settings })
        updateTeam.run(changed.strictParameters ? 1 : 0, changed.weight, changed.batch ? 1 : 0, changed.contentKey, name)
        return changed
      })
    },
    listTeams: () => reading(teams),
    removeTeam(name, { force = false } = {}) {
      return writing(() => {
        requireTeam(name)
        const live = keys().filter((key) => key.team === name && key.revokedAt === undefined)
        if (live.length > 0 && !force) {
          const ids = live.map((key) => key.id).join(', ')
          throw new DirectoryError(`Team "${name}" has live keys (${ids}): revoke them first, or use force, which revokes them.`)
        }
        deleteTeam.run(name)
        changes.note({ changedAt: now().toISOString(), event: 'team.deleted', team: name })
        return live.map(revoke)
      })
    },
    createKey(team, label) {
      if (label !== undefined) checkLabel(label)
      const secret = newSecret()
      return writing(() => {
        requireTeam(team)
        const key: ApiKey = { id: newKeyId(), team, label, createdAt: now().toISOString(), revokedAt: undefined }
        insertKey.run(key.id, team, hmacOf(hmacKey, secret), label ?? null, key.createdAt)
        changes.note({ changedAt: key.createdAt, event: 'key.created', team, keyId: key.id })
        return { ...key, secret }
      })
    },
    listKeys(team) {
      return reading(() => {
        if (team === undefined) return keys()
        const own = keys().filter((key) => key.team === team)
        if (own.length === 0) requireTeam(team)
        return own
      })
    },
    revokeKey(id) {
      return writing(() => {
        const row = selectKey.get(id)
        if (row === undefined) throw unknownKey(id)
        return revoke(keyOf(row))
      })
    },
    addContentKey(key) {
      return writing(() => {
        const all = teams()
        const team = all.find((one) => one.name === key.team)
        if (team === undefined) throw unknownTeam(key.team, all.map((one) => one.name))
        return contentKeys.add({ ...key, teamId: teamIdOf(team.name, team.createdAt), createdAt: now().toISOString() })
      })
    },
    listContentKeys: () => reading(contentKeys.list),
    destroyContentKey(name) {
      return writing(() => {
        const user = teams().find((team) => team.contentKey === name)
        if (user !== undefined) throw new DirectoryError(`Content of team "${user.name}" is kept under this key: give the team another first, or keep none (teams set ${user.name} --keep-content <key|off>).`)
        return contentKeys.destroy(name, now().toISOString())
      })
    },
    authenticate(secret) {
      try {
        return credentials.find(secret)
      } catch (thrown) {
        const message = 'API keys cannot be checked at the moment.'
        throw new ServiceError('UNAVAILABLE', 'directory_unavailable', message, { cause: thrown })
      }
    },
    revokedKey(secret) {
      if (!isSecret(secret)) return undefined
      try {
        const row = selectRevoked.get(hmacOf(hmacKey, secret))
        return row === undefined ? undefined : { team: textOf(row, 'team'), keyId: textOf(row, 'id') }
      } catch (thrown) {
        throw new ServiceError('UNAVAILABLE', 'directory_unavailable', 'API keys cannot be checked at the moment.', { cause: thrown })
      }
    },
    terms() {
      return reading(() => ({
        hmacKey,
        teams: selectTerms.all().map(termsOf),
        keys: selectHmacs.all().map((row) => ({ hmac: blobOf(row, 'hmac'), id: textOf(row, 'id'), team: textOf(row, 'team'), revoked: row['revoked_at'] !== null })),
      }))
    },
    version: () => withDirectoryErrors(file, () => numberOf(dataVersion.get(), 'data_version')),
    changesAfter: (id, limit) => reading(() => changes.after(id, limit)),
    lastChange: () => reading(changes.last),
    image: () => withDirectoryErrors(file, () => imageOf(open)),
    close: () => database.close(),
  }
}

function teamOf(row: Row): Team {
  return { name: textOf(row, 'name'), models: modelsOf(row), strictParameters: numberOf(row, 'strict_parameters') !== 0, weight: numberOf(row, 'weight'), batch: numberOf(row, 'batch') !== 0, contentKey: textOf(row, 'content_key'), createdAt: textOf(row, 'created_at') }
}

function keyOf(row: Row): ApiKey {
  return {
    id: textOf(row, 'id'),
    team: textOf(row, 'team'),
    label: optionalTextOf(row, 'label'),
    createdAt: textOf(row, 'created_at'),
    revokedAt: optionalTextOf(row, 'revoked_at'),
  }
}
