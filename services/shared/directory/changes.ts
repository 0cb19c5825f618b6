import type { DatabaseSync } from 'node:sqlite'
import { numberOf, type Row, textOf } from './database.ts'
import { DirectoryError } from './directory-error.ts'

/** A change of a team or a key. Never what a setting was changed to. */
export interface DirectoryChange {
  /**
   * Larger than that of every change before, also of an older copy of the directory that was restored, or of one that was made anew:
   * the milliseconds since 1970 at which it was made, or one more than the last.
   */
  id: number
  /** RFC 3339, UTC. */
  changedAt: string
  event: 'team.created' | 'team.changed' | 'team.deleted' | 'key.created' | 'key.revoked' | 'content_key.created' | 'content_key.destroyed'
  team: string
  /** Of the API key or the content key; empty for a team's. */
  keyId: string
  /** Names of what was changed of a team. */
  settings: readonly string[]
}

/** The changes of the directory, each written in the transaction of what it tells of: for the ledger, which gets them from a gateway. */
export interface Changes {
  /** To be called within the transaction of the change. */
  note(change: Pick<DirectoryChange, 'changedAt' | 'event' | 'team'> & Partial<Pick<DirectoryChange, 'keyId' | 'settings'>>): void
  /** Those with larger ids, in their order. */
  after(id: number, limit: number): DirectoryChange[]
  /** Id of the newest; 0 when there is none. */
  last(): number
}

export function createChanges(database: DatabaseSync): Changes {
  const insert = database.prepare(
    'INSERT INTO directory_change (id, changed_at, event, team, key_id, settings) VALUES (max(?, coalesce((SELECT max(id) FROM directory_change), 0) + 1), ?, ?, ?, ?, ?)',
  )
  const select = database.prepare('SELECT id, changed_at, event, team, key_id, settings FROM directory_change WHERE id > ? ORDER BY id LIMIT ?')
  const selectLast = database.prepare('SELECT coalesce(max(id), 0) AS last FROM directory_change')
  return {
    note({ changedAt, event, team, keyId = '', settings = [] }) {
      insert.run(Date.parse(changedAt), changedAt, event, team, keyId, JSON.stringify(settings))
    },
    after: (id, limit) => select.all(id, limit).map(changeOf),
    last: () => numberOf(selectLast.get(), 'last'),
  }
}

const events: ReadonlySet<string> = new Set<DirectoryChange['event']>(['team.created', 'team.changed', 'team.deleted', 'key.created', 'key.revoked', 'content_key.created', 'content_key.destroyed'])

function isEvent(text: string): text is DirectoryChange['event'] {
  return events.has(text)
}

function changeOf(row: Row): DirectoryChange {
  const event = textOf(row, 'event')
  const settings: unknown = JSON.parse(textOf(row, 'settings'))
  if (!isEvent(event) || !Array.isArray(settings) || !settings.every((name) => typeof name === 'string')) throw new DirectoryError('A change in the directory can not be read.')
  return { id: numberOf(row, 'id'), changedAt: textOf(row, 'changed_at'), event, team: textOf(row, 'team'), keyId: textOf(row, 'key_id'), settings }
}
