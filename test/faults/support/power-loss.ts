import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TracedMoment } from './traced-calls.ts'

/**
 * A disk that keeps of what was not synced what it likes: it follows the calls of a process, and writes down what a power loss at that
 * moment may leave. Harsher than ext4: the sync of a file says nothing about its name, that of a folder nothing about any file, and
 * unsynced changes survive in any selection; a write that survives may be torn behind any of its 512-byte sectors.
 */
export interface LossyDisk {
  /** False when it can't have changed anything that is kept. */
  follow(moment: TracedMoment): boolean
  /** Writes to `folder` what is left. `keep` says of each unsynced change which share of it survives, 0 to 1. */
  leave(folder: string, keep: () => number): void
}

interface Inode {
  durable: Buffer
  pending: DataChange[]
}

interface DataChange {
  id: number
  returned: boolean
  /** Of an ftruncate: no bytes. */
  bytes: Buffer | undefined
  at: number
}

interface NameChange {
  id: number
  returned: boolean
  synced: boolean
  /** The folder whose sync makes it durable. */
  folder: string
  apply(names: Map<string, Inode | 'folder'>): void
}

const sector = 512

/** `home` exists, and is empty and durable when the process starts. `ignoresSync` of a path: a disk that lies about it. */
export function createLossyDisk(home: string, ignoresSync: (path: string) => boolean = () => false): LossyDisk {
  const names = new Map<string, Inode | 'folder'>([[home, 'folder']])
  let changes: NameChange[] = []
  const open = new Map<number, Inode>()
  /** What the process sees. */
  const current = new Map<string, Inode | 'folder'>([[home, 'folder']])
  /** What a sync that is under way will have made durable. */
  const syncs = new Map<number, () => void>()

  const isKept = (path: string): boolean => path.startsWith(`${home}/`) && !path.endsWith('-shm')

  function rename(moment: TracedMoment, folder: string, apply: NameChange['apply']): void {
    changes.push({ id: moment.id, returned: false, synced: false, folder, apply })
    apply(current)
  }

  function enter(moment: TracedMoment): boolean {
    const { call, id, path, target, bytes, number, fd } = moment
    const inode = open.get(fd)
    if (call === 'fsync' || call === 'fdatasync') {
      if (ignoresSync(path)) return false
      if (inode !== undefined) {
        const covered = new Set(inode.pending.filter(({ returned }) => returned))
        syncs.set(id, () => {
          for (const change of covered) inode.durable = changed(inode.durable, change, change.bytes?.length ?? 0)
          inode.pending = inode.pending.filter((change) => !covered.has(change))
        })
      } else {
        const covered = changes.filter(({ returned, folder }) => returned && folder === path)
        syncs.set(id, () => covered.forEach((change) => (change.synced = true)))
      }
      return false
    }
    if (call === 'pwrite64' || call === 'write' || call === 'ftruncate') {
      if (inode === undefined) return false
      const at = call === 'write' ? lengthOf(inode) : number
      inode.pending.push({ id, returned: false, bytes: call === 'ftruncate' ? undefined : bytes, at })
      return true
    }
    if (call === 'mkdir' && isKept(path)) rename(moment, dirname(path), (all) => void all.set(path, 'folder'))
    else if ((call === 'unlink' || call === 'unlinkat' || call === 'rmdir') && isKept(path)) rename(moment, dirname(path), (all) => void all.delete(path))
    else if ((call === 'rename' || call === 'link') && isKept(target)) {
      const moved = current.get(path)
      if (moved === undefined) throw new Error(`${path}, which was renamed, was never made`)
      rename(moment, dirname(target), (all) => {
        if (call === 'rename') all.delete(path)
        all.set(target, moved)
      })
    } else return false
    return true
  }

  function openFile(moment: TracedMoment): boolean {
    const { path, flags, fd, id } = moment
    open.delete(fd)
    if (!isKept(path) || flags.includes('O_DIRECTORY')) return false
    const there = current.get(path)
    if (there === 'folder') return false
    if (there !== undefined) {
      open.set(fd, there)
      if (flags.includes('O_TRUNC')) there.pending.push({ id, returned: true, bytes: undefined, at: 0 })
      return flags.includes('O_TRUNC')
    }
    if (!flags.includes('O_CREAT')) return false
    const inode: Inode = { durable: Buffer.alloc(0), pending: [] }
    open.set(fd, inode)
    rename(moment, dirname(path), (all) => void all.set(path, inode))
    return true
  }

  function follow(moment: TracedMoment): boolean {
    // Which file it is shows with its number, when it has returned.
    if (moment.call === 'openat' && moment.at === 'entered') return false
    const hasChanged = moment.call === 'openat' ? openFile(moment) : moment.at === 'entered' && enter(moment)
    if (moment.at === 'entered') return hasChanged
    for (const change of changes) if (change.id === moment.id) change.returned = true
    for (const change of open.get(moment.fd)?.pending ?? []) if (change.id === moment.id) change.returned = true
    const sync = syncs.get(moment.id)
    sync?.()
    syncs.delete(moment.id)
    while (changes[0]?.synced === true) changes.shift()?.apply(names)
    return hasChanged || sync !== undefined
  }

  function leave(folder: string, keep: () => number): void {
    const left = new Map(names)
    for (const { synced, apply } of changes) if (synced || keep() > 0) apply(left)
    for (const [path, inode] of [...left].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (!parentsOf(path, home).every((parent) => left.get(parent) === 'folder')) continue
      const place = join(folder, path.slice(home.length))
      if (inode === 'folder') mkdirSync(place, { recursive: true, mode: 0o700 })
      else writeFileSync(place, contentOf(inode, keep), { mode: 0o600 })
    }
  }

  return { follow, leave }
}

function contentOf({ durable, pending }: Inode, keep: () => number): Buffer {
  let content = durable
  for (const change of pending) {
    const share = keep()
    if (share === 0) continue
    const length = change.bytes?.length ?? 0
    content = changed(content, change, share === 1 ? length : Math.floor((share * length) / sector) * sector)
  }
  return content
}

/** With the first `length` bytes of a write. */
function changed(content: Buffer, { bytes, at }: DataChange, length: number): Buffer {
  const size = bytes === undefined ? at : Math.max(content.length, at + length)
  const next = Buffer.alloc(size)
  content.copy(next)
  bytes?.copy(next, at, 0, length)
  return next
}

function lengthOf({ durable, pending }: Inode): number {
  return pending.reduce((size, { bytes, at }) => (bytes === undefined ? at : Math.max(size, at + bytes.length)), durable.length)
}

function parentsOf(path: string, home: string): string[] {
  const parents: string[] = []
  for (let parent = dirname(path); parent.length > home.length; parent = dirname(parent)) parents.push(parent)
  return parents
}
