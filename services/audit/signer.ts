import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { makeFolder } from './make-folder.ts'
import type { LogStore, TreeHead } from './store/store.ts'
import { openCheckpoint, signCheckpoint } from './tlog/checkpoint.ts'
import { formatVkey, makeNoteKey, readSkey } from './tlog/note-key.ts'
import { ed25519Signer, ed25519Verifier } from './tlog/note.ts'
import { proveConsistency } from './tlog/proofs.ts'
import { verifyConsistency } from './tlog/verify-proofs.ts'

/** The log is not the one that was signed, or its key is gone. Told for the operator; no restart mends it. */
export class SignerError extends Error {
  override readonly name = 'SignerError'
}

/** Signs heads of one log, each of which contains all that it has signed before. */
export interface Signer {
  /** Name of the log, and of its key. */
  readonly origin: string
  /** The public key. */
  readonly vkey: string
  /** The greatest head that was ever signed; undefined before the first. */
  readonly signed: TreeHead | undefined
  /**
   * The note of a checkpoint. What was signed is remembered on the disk before this resolves. One at a time. The tree must be
   * known to contain the one that was signed last (checkSigned). Throws SignerError for a smaller one, or another of the same size.
   */
  sign(head: TreeHead): Promise<string>
  /**
   * Remembers, on the disk when it resolves, a checkpoint that another process has signed with the same key and published in the store.
   * Throws SignerError when the store's tree does not contain what is remembered, or the key has not signed it.
   */
  learn(note: string, store: Pick<LogStore, 'tile'>): Promise<void>
  /** Size of a checkpoint that this key has signed; throws SignerError for any other note. */
  sizeOf(note: string): number
}

const keyName = 'log.key'
const publicName = 'log.pub'
const memoryName = 'signed.json'

const Memory = Compile(
  Type.Object({ size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), root: Type.String({ pattern: '^[0-9a-f]{64}$' }) }, { additionalProperties: false }),
)

/**
 * Opens the key of a folder, which is not the log's: who restores an old copy of the log must not restore the memory of what was signed
 * with it. Makes both at first start, for their owner alone. `keyFile`: the key is in this file instead, which is only read. `origin` empty: a random one, for good. `isNew` tells that the log is empty
 * and has no checkpoint; else a missing key is a SignerError.
 */
export async function openSigner({ folder, keyFile = '', origin, isNew }: { folder: string; keyFile?: string; origin: string; isNew: boolean }): Promise<Signer> {
  await makeFolder(folder)
  const path = keyFile === '' ? join(folder, keyName) : keyFile
  let skey = await readText(path)
  if (skey === undefined) {
    if (keyFile !== '') throw new SignerError(`The key that signs the audit log is missing: audit.keyFile is ${keyFile}.`)
    if (!isNew) throw new SignerError(`The key that signs the audit log is missing: ${path}. Restore it, or where several audit services share a log, give each of them the same key (audit.keyFile); or, to begin a new log, move the log aside as well.`)
    const name = origin === '' ? `intramuros.internal/${randomUUID().replaceAll('-', '')}` : origin
    await createDurably(folder, keyName, `${makeNoteKey(name).skey}\n`)
    skey = await readText(path)
  }
  const text = (skey ?? '').trim()
  const key = readKey(text, path)
  if (origin !== '' && key.name !== origin) throw new SignerError(`audit.origin is another one than that of the key in ${path}, '${key.name}'. A log keeps its origin for good.`)
  const vkey = formatVkey(key)
  if ((await readText(join(folder, publicName))) !== `${vkey}\n`) await replaceDurably(folder, publicName, `${vkey}\n`)
  const noteSigner = ed25519Signer(text)
  const verifier = ed25519Verifier(vkey)
  let signed = await readMemory(join(folder, memoryName))

  async function remember({ size, root }: TreeHead): Promise<void> {
    const copy = Buffer.from(root)
    await replaceDurably(folder, memoryName, `${JSON.stringify({ size, root: copy.toString('hex') })}\n`)
    signed = { size, root: copy }
  }

  function opened(note: string): TreeHead {
    try {
      return openCheckpoint(note, { origin: key.name, log: [verifier] })
    } catch (thrown) {
      throw new SignerError(`The log holds a checkpoint that the key in ${path} has not signed: ${thrown instanceof Error ? thrown.message : ''}.`, { cause: thrown })
    }
  }

  return {
    origin: key.name,
    vkey,
    get signed() {
      return signed
    },
    async sign({ size, root }) {
      if (signed !== undefined && (size < signed.size || (size === signed.size && Buffer.compare(root, signed.root) !== 0))) throw new SignerError(otherTree(size, signed))
      if (size !== signed?.size) await remember({ size, root })
      return signCheckpoint({ origin: key.name, size, root }, [noteSigner])
    },
    async learn(note, store) {
      const published = opened(note)
      // A smaller one was published before a crash kept what is remembered from being so: the head tells whether all is well.
      if (signed !== undefined && published.size < signed.size) return
      await checkContains(published, signed, store)
      if (published.size !== signed?.size) await remember(published)
    },
    sizeOf: (note) => opened(note).size,
  }
}

/** Throws SignerError unless the store's tree contains the one that was signed last: an old copy of it was restored, or another log. */
export async function checkSigned({ signed }: Signer, store: Pick<LogStore, 'head' | 'tile'>): Promise<void> {
  if (signed !== undefined) await checkContains(await store.head(), signed, store)
}

async function checkContains({ size, root }: TreeHead, signed: TreeHead | undefined, store: Pick<LogStore, 'tile'>): Promise<void> {
  if (signed === undefined) return
  if (size < signed.size) throw new SignerError(otherTree(size, signed))
  const proof = await proveConsistency(signed.size, size, (level, index, width) => store.tile(level, index, width))
  if (!verifyConsistency({ from: signed, to: { size, root }, proof })) throw new SignerError(otherTree(size, signed))
}

function otherTree(size: number, signed: TreeHead): string {
  const what = size < signed.size ? `has ${size} records, but one of ${signed.size} was signed` : `is another one than the log of ${signed.size} records that was signed`
  return (
    `The audit log ${what}: it was restored from an old copy, or replaced. It is not continued, so that nobody gets two histories to believe. ` +
    'Restore the newest copy; or, to begin a new log with a new key, keep the folders of the log and of its key, and move both aside.'
  )
}

function readKey(skey: string, path: string): ReturnType<typeof readSkey> {
  try {
    return readSkey(skey, 'ed25519')
  } catch (thrown) {
    throw new SignerError(`${path} holds no key: ${thrown instanceof Error ? thrown.message : ''}. Restore it from a copy.`)
  }
}

async function readMemory(path: string): Promise<TreeHead | undefined> {
  const text = await readText(path)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  if (!Memory.Check(value)) throw new SignerError(`${path}, which says what was signed last, is malformed. Restore it from a copy.`)
  return { size: value.size, root: Buffer.from(value.root, 'hex') }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

/** On the disk when it resolves; the old file or the new one, never a part. */
async function replaceDurably(folder: string, name: string, text: string): Promise<void> {
  const temporary = await writeBeside(folder, name, text)
  await rename(temporary, join(folder, name))
  await syncFolder(folder)
}

/** The same of a file that must not be there yet: of two that make one at once, the first wins. */
async function createDurably(folder: string, name: string, text: string): Promise<void> {
  const temporary = await writeBeside(folder, name, text)
  await link(temporary, join(folder, name)).catch((thrown: unknown) => {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown
  })
  await rm(temporary)
  await syncFolder(folder)
}

async function writeBeside(folder: string, name: string, text: string): Promise<string> {
  const temporary = join(folder, `.${name}.new`)
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  return temporary
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
