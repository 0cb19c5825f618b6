import type { DatabaseSync } from 'node:sqlite'

/** Texts by number and back. Teams, keys, models: few of them, met over and over. */
export interface Names {
  /** The number of a text, made if it has none. */
  idOf(text: string): number
  /** Undefined when the index has never met it. */
  find(text: string): number | undefined
  textOf(id: number): string
}

/** Texts that are remembered, some 100 bytes each. */
const remembered = 50_000

export function createNames(database: DatabaseSync): Names {
  const select = database.prepare('SELECT id FROM names WHERE text = ?')
  const selectText = database.prepare('SELECT text FROM names WHERE id = ?')
  const insert = database.prepare('INSERT INTO names (text) VALUES (?)')
  const ids = new Map<string, number>()
  const texts = new Map<number, string>()

  function remember<K, V>(map: Map<K, V>, key: K, value: V): V {
    if (map.size >= remembered) map.clear()
    map.set(key, value)
    return value
  }

  function find(text: string): number | undefined {
    const known = ids.get(text)
    if (known !== undefined) return known
    const row = select.get(text)
    return row === undefined ? undefined : remember(ids, text, Number(row['id']))
  }

  return {
    find,
    idOf: (text) => find(text) ?? remember(ids, text, Number(insert.run(text).lastInsertRowid)),
    textOf: (id) => texts.get(id) ?? remember(texts, id, String(selectText.get(id)?.['text'] ?? '')),
  }
}
