import type { Config } from '../config/schema.ts'
import type { Logger } from '../log.ts'
import type { ModelEntry } from './catalogue.ts'
import { FatalStartError } from '../supervision.ts'
import { EncryptedModelError, KeyCommandError } from './encryption-error.ts'
import { ggufHeadLength } from './gguf-head.ts'
import { createMemoryFile, type MemoryFile, writeFailure } from './memory-file.ts'
import { modelPath } from './served.ts'
import { isEncrypted } from './store.ts'

export interface OpenedModel {
  /** Of a GGUF file, for this process alone; to be opened before close(). */
  path: string
  /** Where the model lies on the disk, for people. */
  source: string
  /** Call it once the engine has opened or read the file. What it has mapped then stays. */
  close(): Promise<void>
}

export interface OpenerOptions {
  config: Pick<Config, 'home' | 'modelEncryption'>
  /** The variable that holds the key is taken out of it. */
  env: NodeJS.ProcessEnv
  log: Pick<Logger, 'info' | 'warn' | 'error'>
  signal?: AbortSignal
}

/** What will be read: all of it, or only what stands before the tensors' data, whose room in memory is then saved. */
export type ModelPart = 'everything' | 'vocabulary'

export type ModelOpener = (entry: ModelEntry, part: ModelPart) => Promise<OpenedModel>

/** A vocabulary of a million tokens has less than a tenth of it. */
const largestHead = 512 * 1024 * 1024

/**
 * Makes what gives a model's file to a service: as it lies, or decrypted into memory. All of an encrypted one is decrypted and must
 * have the catalogue's digest, for a vocabulary too: a recipient is public, so that anyone could have encrypted another model for
 * it. The key is read once. Throws FatalStartError when there is no file or it can't be decrypted here, and KeyCommandError.
 */
export function createModelOpener(options: OpenerOptions): ModelOpener {
  let key: Promise<string[]> | undefined
  // Loaded only when needed: the library takes a while.
  const readKey = (): Promise<string[]> =>
    (key ??= import('./model-key.ts').then(({ readModelKey }) => readModelKey(options.config.modelEncryption, options.env)))
  return async (entry, part) => {
    const source = await modelPath(entry, options.config.home)
    if (!isEncrypted(source)) return { path: source, source, close: async () => undefined }
    try {
      return await openEncrypted(entry, source, part, await readKey(), options)
    } catch (thrown) {
      if (!(thrown instanceof EncryptedModelError)) throw thrown
      if (!(thrown instanceof KeyCommandError)) throw new FatalStartError(`The file of the model "${entry.id}" is encrypted (${source}). ${thrown.message}`)
      // It may go better at the next start of this process.
      options.log.error({ model: entry.id, reason: thrown.message }, 'no key for an encrypted model')
      throw thrown
    }
  }
}

async function openEncrypted(
  entry: ModelEntry,
  source: string,
  part: ModelPart,
  identities: readonly string[],
  { config, log, signal = new AbortController().signal }: OpenerOptions,
): Promise<OpenedModel> {
  const { decryptFile, requireDigest } = await import('./decrypt.ts')
  const startedAt = performance.now()
  const { memoryFolder: folder, refuseSwap } = config.modelEncryption
  const onSwap = (): void => log.warn({ model: entry.id, folder }, 'this machine has swap, to which the memory of a decrypted model may be written: see docs/models.md')
  const create = (bytes: number): Promise<MemoryFile> => createMemoryFile({ folder, bytes, refuseSwap, onSwap })
  const writer = part === 'everything' ? wholeWriter(folder, create) : headWriter(source, folder, create)
  try {
    const { size, sha256 } = await decryptFile(source, identities, writer, signal)
    requireDigest(source, sha256, entry.sha256)
    const { path, handle } = await writer.end()
    log.info({ model: entry.id, part, size, sha256, ms: Math.round(performance.now() - startedAt) }, 'model decrypted into memory')
    return { path, source, close: () => handle.close() }
  } catch (thrown) {
    await writer.discard()
    throw thrown
  }
}

interface Writer {
  begin(size: number): Promise<void>
  piece(bytes: Buffer): Promise<void>
  end(): Promise<MemoryFile>
  discard(): Promise<void>
}

/** Writes all of the plaintext. */
function wholeWriter(folder: string, create: (bytes: number) => Promise<MemoryFile>): Writer {
  let file: MemoryFile | undefined
  let total = 0
  let position = 0
  return {
    async begin(size) {
      total = size
      file = await create(size)
    },
    async piece(bytes) {
      await write(file, bytes, position, folder, total)
      position += bytes.length
    },
    end: async () => await Promise.resolve(begun(file)),
    discard: async () => await file?.handle.close(),
  }
}

/** Writes the file's head into a file of the full size, whose holes take no memory: llama.cpp wants all tensors within it. */
function headWriter(source: string, folder: string, create: (bytes: number) => Promise<MemoryFile>): Writer {
  let file: MemoryFile | undefined
  let total = 0
  let pieces: Buffer[] = []
  let collected = 0
  let tryAt = 1 << 20

  async function store(length: number): Promise<void> {
    file = await create(length)
    await file.handle.truncate(total)
    await write(file, Buffer.concat(pieces).subarray(0, length), 0, folder, length)
    pieces = []
  }

  return {
    async begin(size) {
      total = size
      await Promise.resolve()
    },
    async piece(bytes) {
      if (file !== undefined) return
      // The next one comes in the same memory.
      pieces.push(Buffer.from(bytes))
      collected += bytes.length
      // Not with each piece: a head of many would be read from its beginning each time.
      if (collected < tryAt && collected < total) return
      tryAt *= 2
      const length = ggufHeadLength(Buffer.concat(pieces))
      if (length === 'none') return await store(Math.min(collected, 1 << 16))
      if (length !== undefined) return await store(length)
      if (collected >= largestHead) throw new EncryptedModelError(`${source} holds no model that can be read: its metadata have no end.`)
    },
    async end() {
      // A file that is cut short inside its head, which the engine is to say.
      if (file === undefined) await store(collected)
      return begun(file)
    },
    discard: async () => await file?.handle.close(),
  }
}

function begun(file: MemoryFile | undefined): MemoryFile {
  if (file === undefined) throw new Error('nothing was decrypted')
  return file
}

async function write(file: MemoryFile | undefined, bytes: Buffer, position: number, folder: string, total: number): Promise<void> {
  const { handle } = begun(file)
  try {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
      done += bytesWritten
    }
  } catch (thrown) {
    throw writeFailure(thrown, folder, total)
  }
}
