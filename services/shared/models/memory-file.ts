import { constants } from 'node:fs'
import { type FileHandle, open, readFile, statfs } from 'node:fs/promises'
import { EncryptedModelError } from './encryption-error.ts'

/** File system types of statfs(2) that live in memory alone. */
const tmpfs = 0x01021994
const ramfs = 0x858458f6

/** Linux' O_TMPFILE: a file without a name. Node.js has no constant for it; this is its value on all machines it runs on. */
const withoutName = 0o20000000 | constants.O_DIRECTORY

export interface MemoryFileOptions {
  /** On a tmpfs or a ramfs. */
  folder: string
  /** Bytes that will be written, which it must have room for. */
  bytes: number
  /** Throws where the pages of the file might be written to swap. Otherwise onSwap is called. */
  refuseSwap: boolean
  onSwap: () => void
  /** What tells of swap; tests have their own. */
  swapsFile?: string
}

export interface MemoryFile {
  handle: FileHandle
  /** Opens the same file, in this process alone, as long as the handle is open. */
  path: string
}

/**
 * An empty file in memory. It never has a name, so that nothing of it stays behind, however the process ends: its memory is free when
 * nobody has it open or mapped any more. Throws EncryptedModelError.
 */
export async function createMemoryFile({ folder, bytes, refuseSwap, onSwap, swapsFile = '/proc/swaps' }: MemoryFileOptions): Promise<MemoryFile> {
  if (process.platform !== 'linux') {
    throw new EncryptedModelError('Encrypted models are decrypted into memory-backed storage, which only Linux has (tmpfs): on this system use the plain file.')
  }
  const { type, bavail, bsize } = await describe(folder)
  if (type !== tmpfs && type !== ramfs) {
    throw new EncryptedModelError(`${folder} (modelEncryption.memoryFolder) is on a disk: encrypted models are decrypted into memory alone. Name a folder on a tmpfs.`)
  }
  // A ramfs has no limit and tells none; its pages are never written to swap.
  if (type === tmpfs) {
    if (bavail * bsize < bytes) throw noRoom(folder, bytes, bavail * bsize)
    if (await mayBeSwapped(swapsFile)) {
      if (refuseSwap) {
        throw new EncryptedModelError('This machine has swap, to which memory that holds a decrypted model may be written, and modelEncryption.refuseSwap is set: switch swap off (swapoff -a).')
      }
      onSwap()
    }
  }
  try {
    const handle = await open(folder, withoutName | constants.O_RDWR | constants.O_EXCL, 0o600)
    return { handle, path: `/proc/self/fd/${handle.fd}` }
  } catch (thrown) {
    throw new EncryptedModelError(`No file can be made in ${folder} (modelEncryption.memoryFolder): ${codeOf(thrown)}.`)
  }
}

/** What to throw for a failed write to such a file. */
export function writeFailure(thrown: unknown, folder: string, bytes: number): unknown {
  return codeOf(thrown) === 'ENOSPC' ? noRoom(folder, bytes, 0) : thrown
}

function noRoom(folder: string, bytes: number, free: number): EncryptedModelError {
  const found = free === 0 ? 'it is full' : `${free} are free`
  return new EncryptedModelError(
    `There is not enough room in ${folder} (modelEncryption.memoryFolder): the decrypted model has ${bytes} bytes, ${found}. Give that tmpfs more (mount -o remount,size=…; a container's --shm-size; an emptyDir of medium Memory), or name another.`,
  )
}

async function describe(folder: string): Promise<{ type: number; bavail: number; bsize: number }> {
  try {
    return await statfs(folder)
  } catch (thrown) {
    throw new EncryptedModelError(`${folder} (modelEncryption.memoryFolder) can't be used: ${codeOf(thrown)}.`)
  }
}

/** A title, then a line for each device in use. */
async function mayBeSwapped(swapsFile: string): Promise<boolean> {
  try {
    return (await readFile(swapsFile, 'utf8')).trim().split('\n').length > 1
  } catch {
    // Without /proc nobody knows.
    return true
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'
}
