import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, extname, join, normalize } from 'node:path'

/** `[text](target)`, without the part of a page. Patterns in code look alike. */
const link = /\]\(([\w./:-]+)(?:#[^()\s]*)?\)/g

/**
 * The documents that these lead to by their links, with themselves, by their paths in the project: so that no link leads out of the bundle. Throws an Error that names
 * a link to nowhere.
 */
export async function documentsFrom(project: string, entries: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  const waiting = [...entries]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (found.has(name)) continue
    found.add(name)
    if (extname(name) !== '.md') continue
    // oxlint-disable-next-line no-await-in-loop -- some dozens of small files
    const text = await readFile(join(project, name), 'utf8')
    for (const [, target = ''] of text.matchAll(link)) {
      if (/^[a-z]+:/.test(target)) continue
      const to = normalize(join(dirname(name), target))
      if (to.startsWith('..') || !existsSync(join(project, to))) throw new Error(`${name} has a link to ${target}, which is not there.`)
      waiting.push(to)
    }
  }
  return [...found].toSorted()
}
