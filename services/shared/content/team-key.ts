import { createHmac, randomBytes } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ContentError } from './content-error.ts'

/**
 * A team's key: what its data keys are encrypted under. It lies in a file of its own, `<name>.key`, as base64 of 32 bytes, in a folder that
 * may be a Kubernetes Secret that is mounted. Files are read for each use and never remembered: one that is gone is not used any more.
 */
export interface TeamKey {
  /** "hr-2026.0123456789abcdef": its name, and a value that tells whether a file still holds the key that it held. */
  id: string
  bytes: Buffer
}

export const contentKeyName = /^[a-z0-9][a-z0-9-]{0,62}$/
export const contentKeyId = /^[a-z0-9][a-z0-9-]{0,62}\.[0-9a-f]{16}$/

const keyBytes = 32

/** "hr-2026" of "hr-2026.0123456789abcdef". */
export function keyNameOf(id: string): string {
  return id.slice(0, id.indexOf('.'))
}

/** The key of that name. Throws ContentError when it is not there or is none. */
export async function readTeamKey(folder: string, name: string): Promise<TeamKey> {
  const file = fileOf(folder, name)
  let text: string
  try {
    text = await readFile(file, 'latin1')
  } catch (thrown) {
    throw new ContentError(isMissing(thrown) ? `There is no key ${file}.` : `The key ${file} can't be read (${codeOf(thrown)}).`)
  }
  const bytes = Buffer.from(text, 'base64')
  // Buffer.from skips what is no base64.
  if (bytes.length !== keyBytes || bytes.toString('base64') !== text.replace(/\r?\n$/, '')) {
    throw new ContentError(`The file ${file} holds no key: it should be base64 of ${keyBytes} bytes, as "openssl rand -base64 ${keyBytes}" makes it.`)
  }
  return { id: idOf(name, bytes), bytes }
}

/** The very key, not only its name: another one in its file is refused. Throws ContentError. */
export async function readTeamKeyOf(folder: string, id: string): Promise<TeamKey> {
  const key = await readTeamKey(folder, keyNameOf(id))
  if (key.id !== id) throw new ContentError(`The file ${fileOf(folder, keyNameOf(id))} holds another key than ${id}.`)
  return key
}

/** Makes a key and its file, durably; throws ContentError when there is one: a key is never overwritten. */
export async function createTeamKey(folder: string, name: string): Promise<TeamKey> {
  const bytes = randomBytes(keyBytes)
  const path = fileOf(folder, name)
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(`${bytes.toString('base64')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await syncFolder(folder)
  } catch (thrown) {
    throw new ContentError(codeOf(thrown) === 'EEXIST' ? `The key ${path} is there already.` : `The key ${path} can't be written (${codeOf(thrown)}).`)
  }
  return { id: idOf(name, bytes), bytes }
}

/** Removes a key's file; false when it was not there. Throws ContentError where that can't be, in a mounted Secret for example. */
export async function removeTeamKey(folder: string, name: string): Promise<boolean> {
  const path = fileOf(folder, name)
  try {
    await rm(path)
    await syncFolder(dirname(path))
    return true
  } catch (thrown) {
    if (isMissing(thrown)) return false
    throw new ContentError(`The key ${path} can't be removed (${codeOf(thrown)}). It still opens what was kept under it: remove it yourself, from its Secret where it is in one.`)
  }
}

function fileOf(folder: string, name: string): string {
  if (!contentKeyName.test(name)) throw new ContentError('A name of a key has 1 to 63 lower-case letters, digits and "-", and begins with a letter or digit.')
  return join(folder, `${name}.key`)
}

function idOf(name: string, bytes: Uint8Array): string {
  return `${name}.${createHmac('sha256', bytes).update('intramuros content key id 1').digest('hex').slice(0, 16)}`
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function isMissing(thrown: unknown): boolean {
  return codeOf(thrown) === 'ENOENT'
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'
}
