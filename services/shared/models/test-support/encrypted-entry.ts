import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type KeyPair, keyFileText, newKeyPair } from '../../age/keys.ts'
import type { ModelEntry } from '../catalogue.ts'
import { encryptFile } from '../encrypt.ts'
import { storedPath } from '../store.ts'

export interface EncryptedEntry {
  entry: ModelEntry & { sha256: string }
  key: KeyPair
  keyFile: string
  /** The encrypted file in the store of `home`. No plain one lies there. */
  path: string
}

/** An entry of this content, encrypted in the store of `home`, and its key. */
export async function encryptedEntry(home: string, content: Buffer): Promise<EncryptedEntry> {
  const key = await newKeyPair()
  const entry = {
    id: 'own',
    file: 'own.gguf',
    size: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
    licence: 'MIT',
    contextLength: 1,
    openness: { weights: true, code: false, data: false, paper: false },
    from: {},
  }
  const path = `${storedPath(home, entry)}.age`
  await mkdir(dirname(path), { recursive: true })
  const from = join(home, 'plain')
  const keyFile = join(home, 'key')
  await writeFile(from, content)
  await writeFile(keyFile, keyFileText(key, new Date()))
  await encryptFile({ from, to: path, recipients: [key.recipient], sha256: entry.sha256, signal: new AbortController().signal })
  return { entry, key, keyFile, path }
}
