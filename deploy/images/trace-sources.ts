import { existsSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { init, parse } from 'es-module-lexer'

/** What a program is made of. */
export interface Traced {
  /** Sources that it reaches, by their paths in the project with .js for .ts, as JavaScript: Node.js then has no types to strip at each start. */
  modules: ReadonlyMap<string, string>
  /** Other files that it reads, by their paths. */
  files: readonly string[]
  /** Packages of npm that these name. */
  packages: readonly string[]
}

/** `new URL('x.ts', import.meta.url)`: a thread, or a file that is read. */
const located = /new URL\(\s*'([^'\n]+)'\s*,\s*import\.meta\.url\s*\)/g

/** Follows the imports of the project's own sources from `entries` on. */
export async function traceSources(root: string, entries: readonly string[]): Promise<Traced> {
  await init
  const modules = new Map<string, string>()
  const files = new Set<string>()
  const packages = new Set<string>()
  const waiting = [...entries]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const name = javaScriptName(file)
    if (modules.has(name)) continue
    const code = stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'), { mode: 'strip' })
    const from = dirname(file)
    const resolve = (specifier: string): string => relative(root, join(root, from, specifier))
    const renamed: { start: number; end: number; specifier: string }[] = []
    for (const { n: specifier, s: start, e: end } of parse(code)[0]) {
      if (specifier === undefined || specifier.startsWith('node:')) continue
      if (!specifier.startsWith('.')) packages.add(packageOf(specifier))
      else if (specifier.endsWith('.ts')) {
        waiting.push(resolve(specifier))
        renamed.push({ start, end, specifier })
      } else files.add(resolve(specifier))
    }
    for (const match of code.matchAll(located)) {
      const [text, specifier = ''] = match
      const start = match.index + text.indexOf("'")
      if (specifier.endsWith('.ts')) {
        waiting.push(resolve(specifier))
        renamed.push({ start: start + 1, end: start + 1 + specifier.length, specifier })
      } else if (existsSync(join(root, resolve(specifier))) && !resolve(specifier).startsWith('docs/')) files.add(resolve(specifier))
    }
    modules.set(name, rename(code, renamed))
  }
  return { modules, files: [...files].toSorted(), packages: [...packages].toSorted() }
}

/** What stands between start and end is the specifier, with its quotes where it is that of an import(). */
function rename(code: string, places: readonly { start: number; end: number; specifier: string }[]): string {
  let text = code
  for (const { start, end, specifier } of places.toSorted((a, b) => b.start - a.start)) {
    text = text.slice(0, start) + text.slice(start, end).replace(specifier, javaScriptName(specifier)) + text.slice(end)
  }
  return text
}

export function javaScriptName(file: string): string {
  return file.replace(/\.ts$/, '.js')
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}
