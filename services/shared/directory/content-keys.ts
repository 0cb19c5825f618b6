import type { DatabaseSync } from 'node:sqlite'
import type { Changes } from './changes.ts'
import { optionalTextOf, type Row, textOf } from './database.ts'
import { DirectoryError } from './directory-error.ts'

/** A team's key to the content that it has kept. The key itself is in a file that only gateways and operators have. */
export interface ContentKey {
  /** Of its file, without ".key". */
  name: string
  team: string
  /** The team itself: one that gets the name of a removed one does not get its keys. */
  teamId: string
  /** Its name and a check value; safe to log. */
  keyId: string
  /** RFC 3339, UTC. */
  createdAt: string
  /** RFC 3339, UTC; undefined while it is used or can be. */
  destroyedAt: string | undefined
}

/** To be called within a transaction. All throw DirectoryError. */
export interface ContentKeys {
  list(): ContentKey[]
  add(key: Omit<ContentKey, 'destroyedAt'>): ContentKey
  destroy(name: string, at: string): ContentKey
  /** Throws unless it is a key of this team that was not destroyed. */
  require(name: string, teamId: string): void
}

export function createContentKeys(database: DatabaseSync, changes: Changes): ContentKeys {
  const select = database.prepare('SELECT name, team, team_id, key_id, created_at, destroyed_at FROM content_key ORDER BY created_at, name')
  const insert = database.prepare('INSERT INTO content_key (name, team, team_id, key_id, created_at) VALUES (?, ?, ?, ?, ?)')
  const update = database.prepare('UPDATE content_key SET destroyed_at = ? WHERE name = ?')
  const list = (): ContentKey[] => select.all().map(contentKeyOf)

  function find(name: string): ContentKey {
    const all = list()
    const found = all.find((key) => key.name === name)
    if (found !== undefined) return found
    const known = all.filter((key) => key.destroyedAt === undefined).map((key) => key.name)
    throw new DirectoryError(`There is no content key of that name; keys: ${known.length === 0 ? 'none' : known.join(', ')}.`)
  }

  return {
    list,
    add(key) {
      if (list().some(({ name, keyId }) => name === key.name || keyId === key.keyId)) throw new DirectoryError(`There is or was a content key "${key.name}": each gets a name of its own.`)
      insert.run(key.name, key.team, key.teamId, key.keyId, key.createdAt)
      changes.note({ changedAt: key.createdAt, event: 'content_key.created', team: key.team, keyId: key.keyId })
      return { ...key, destroyedAt: undefined }
    },
    destroy(name, at) {
      const key = find(name)
      if (key.destroyedAt !== undefined) return key
      update.run(at, name)
      changes.note({ changedAt: at, event: 'content_key.destroyed', team: key.team, keyId: key.keyId })
      return { ...key, destroyedAt: at }
    },
    require(name, teamId) {
      const key = find(name)
      if (key.destroyedAt !== undefined) throw new DirectoryError(`The content key "${name}" was destroyed.`)
      if (key.teamId !== teamId) throw new DirectoryError(`The content key "${name}" is of another team: each has keys of its own.`)
    },
  }
}

function contentKeyOf(row: Row): ContentKey {
  return {
    name: textOf(row, 'name'),
    team: textOf(row, 'team'),
    teamId: textOf(row, 'team_id'),
    keyId: textOf(row, 'key_id'),
    createdAt: textOf(row, 'created_at'),
    destroyedAt: optionalTextOf(row, 'destroyed_at'),
  }
}
