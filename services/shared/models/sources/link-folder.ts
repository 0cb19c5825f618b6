import { readFile, readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SourceFailed } from '../failures.ts'
import { type OfferedFile, parseLinks } from './simple-api.ts'

/** A path on this machine for a location of pip's that is one: a path, with ~, or a file: URL. Undefined for what is fetched. */
export function localPath(location: string, homeFolder: string): string | undefined {
  if (/^file:/i.test(location)) {
    try {
      return fileURLToPath(location)
    } catch {
      throw new SourceFailed('is a file: address that names no path')
    }
  }
  if (/^[a-z][a-z0-9+.-]+:/i.test(location)) return undefined
  return resolve(location.startsWith('~/') ? join(homeFolder, location.slice(2)) : location)
}

/** Files that a folder, an HTML file of links, or an archive itself offers, as pip's --find-links takes them. */
export async function filesAt(path: string): Promise<OfferedFile[]> {
  const stats = await stat(path).catch(() => undefined)
  if (stats === undefined) throw new SourceFailed('is not there')
  if (stats.isDirectory()) return (await readdir(path)).map((name) => offered(name, join(path, name)))
  if (/\.html?$/i.test(path)) return parseLinks(await readFile(path, 'utf8'), pathToFileURL(path))
  return [offered(path.split(/[/\\]/).at(-1) ?? '', path)]
}

function offered(name: string, path: string): OfferedFile {
  return { name, url: pathToFileURL(path), sha256: undefined, size: undefined }
}
