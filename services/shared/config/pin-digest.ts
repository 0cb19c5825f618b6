import { isDeepStrictEqual } from 'node:util'
import { isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, type YAMLMap } from 'yaml'

export interface Pin {
  /** Of an entry under `models:` that names no digest. */
  id: string
  sha256: string
  /** Bytes. */
  size: number
}

/**
 * The text of a configuration file with the digest, and the size if there is none, written into the entry: as lines of their own after
 * its `file:`, with nothing else touched. Undefined where that can't be done safely, in a map in braces for instance.
 */
export function pinDigest(text: string, { id, sha256, size }: Pin): string | undefined {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter })
  if (document.errors.length > 0) return undefined
  const models = document.get('models')
  if (!isSeq(models)) return undefined
  const index = models.items.findIndex((item) => isMap(item) && item.get('id') === id)
  const entry = models.items[index]
  if (!isMap(entry) || entry.flow === true || entry.has('sha256')) return undefined
  const file = pairOf(entry, 'file')
  if (file === undefined || !isScalar(file.key) || !isScalar(file.value)) return undefined
  const [keyStart, valueEnd] = [file.key.range?.[0], file.value.range?.[1]]
  if (keyStart === undefined || valueEnd === undefined) return undefined

  const added = { sha256, ...(entry.has('size') ? {} : { size }) }
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const indent = ' '.repeat(lineCounter.linePos(keyStart).col - 1)
  const lines = Object.entries(added).map(([key, value]) => `${indent}${key}: ${typeof value === 'string' ? `"${value}"` : value}`)
  const lineEnd = text.indexOf('\n', valueEnd)
  const pinned =
    lineEnd === -1
      ? `${text}${newline}${lines.join(newline)}${newline}`
      : `${text.slice(0, lineEnd + 1)}${lines.join(newline)}${newline}${text.slice(lineEnd + 1)}`

  const expected: unknown = document.toJS()
  return isDeepStrictEqual(parsed(pinned), withPin(expected, index, added)) ? pinned : undefined
}

function pairOf(map: YAMLMap, name: string): Pair | undefined {
  return map.items.find(({ key }) => isScalar(key) && key.value === name)
}

function parsed(text: string): unknown {
  const document = parseDocument(text)
  return document.errors.length > 0 ? undefined : document.toJS()
}

/** What the file must say afterwards, and nothing but it. */
function withPin(tree: unknown, index: number, added: object): unknown {
  if (typeof tree !== 'object' || tree === null || !('models' in tree) || !Array.isArray(tree.models)) return tree
  return { ...tree, models: tree.models.map((item: unknown, at) => (at === index && typeof item === 'object' ? { ...item, ...added } : item)) }
}
