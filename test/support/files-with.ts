import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/**
 * The files of a folder that hold one of these, by their paths in it. Looks again when a file was replaced meanwhile, as those of a running service are: what it
 * held stands somewhere else then.
 */
export async function filesWith(folder: string, secrets: readonly (string | Buffer)[]): Promise<string[]> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await lookThrough(folder, secrets)
    } catch (thrown) {
      if (tries === 20 || !(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT')) throw thrown
    }
  }
}

async function lookThrough(folder: string, secrets: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = []
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(file.parentPath, file.name)
    if (!file.isFile()) continue
    const bytes = await readFile(path)
    if (secrets.some((secret) => bytes.includes(secret))) found.push(relative(folder, path))
  }
  return found
}
