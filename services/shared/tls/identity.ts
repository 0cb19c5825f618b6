import { type FSWatcher, watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describeError, type Logger } from '../log.ts'
import { type Material, parseMaterial } from './material.ts'

export interface IdentityOptions {
  /**
   * PEM file with the private key and then the certificate chain: one file, so that they can't mismatch. Or a folder with the two as tls.key and tls.crt, as a
   * Kubernetes Secret is mounted; while they mismatch they are not taken up.
   */
  file: string
  /** PEM bundle of the CAs that peers' certificates may be signed by. */
  caFile: string
  log: Logger
  /** How often the files are read in any case: some file systems tell nothing of changes. */
  pollMs?: number
  now?: () => Date
}

/** A service's own certificate, kept up to date with its files. */
export interface Identity {
  /** What to use for the next handshake. The same object until something changes. */
  current(): Material
  /** Called after each change. Returns a function that ends it. */
  onChange(listener: (material: Material) => void): () => void
  close(): void
}

/** A replacement is several events on several files; one look after the last of them will do. */
const settleMs = 20

/**
 * Reads a certificate and follows its files. Throws UnusableMaterial or the file system's error when it can't be used at the
 * start. Later, what is mismatched, expired, half-written or of another CA is not taken up: the last good one stays, and a
 * warning tells so once.
 */
export async function watchIdentity(options: IdentityOptions): Promise<Identity> {
  const { file, caFile, log, pollMs = 5000, now = () => new Date() } = options
  const name = basename(file)
  let text = await readFiles(file, caFile)
  let material = parseMaterial({ file, ...text, now: now() })
  const listeners = new Set<(material: Material) => void>()
  let closed = false
  let reading = false
  let again = false
  let refused = ''
  let toldExpiry: Date | undefined
  let settle: NodeJS.Timeout | undefined

  async function refresh(): Promise<void> {
    if (reading) {
      again = true
      return
    }
    reading = true
    do {
      again = false
      await readOnce()
    } while (again && !closed)
    reading = false
  }

  async function readOnce(): Promise<void> {
    try {
      const found = await readFiles(file, caFile)
      if (closed) return
      if (found.pem !== text.pem || found.ca !== text.ca) {
        takeUp(parseMaterial({ file, ...found, now: now() }))
        text = found
      }
      refused = ''
    } catch (thrown) {
      const problem = describeError(thrown)
      const what = problem.reason ?? problem.code ?? problem.type
      if (!closed && what !== refused) log.warn({ file: name, err: problem }, 'certificate not taken up: the last good one stays')
      refused = what
    }
    if (!closed && now() >= material.notAfter && toldExpiry !== material.notAfter) {
      toldExpiry = material.notAfter
      log.error({ file: name, expired: material.notAfter.toISOString() }, 'the certificate in use has expired: peers refuse it')
    }
  }

  function takeUp(read: Material): void {
    material = read
    log.info({ file: name, expires: read.notAfter.toISOString() }, 'certificate taken up')
    for (const listener of listeners) {
      try {
        listener(read)
      } catch (thrown) {
        log.error({ file: name, err: describeError(thrown) }, 'a listener did not take up the certificate')
      }
    }
  }

  function changed(): void {
    clearTimeout(settle)
    settle = setTimeout(() => void refresh(), settleMs)
    settle.unref()
  }

  const poll = setInterval(() => void refresh(), pollMs)
  poll.unref()
  const watchers = [...new Set([dirname(file), dirname(caFile)])].map((folder) => watchFolder(folder, changed))
  // For what changed between the first reading and the watch.
  changed()
  return {
    current: () => material,
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close() {
      closed = true
      clearInterval(poll)
      clearTimeout(settle)
      for (const watcher of watchers) watcher?.close()
      listeners.clear()
    },
  }
}

/** Watches the folder, not the file: a watch on a file stays with what was there before a rename or a link's swap. */
function watchFolder(folder: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, changed)
    watcher.on('error', () => undefined) // polling goes on
    return watcher
  } catch {
    return undefined // not every file system can be watched
  }
}

async function readFiles(file: string, caFile: string): Promise<{ pem: string; ca: string }> {
  // In this order: writers put the CA in place first, so the CA's file then knows the issuer of what was just read.
  const pem = await readPem(file)
  return { pem, ca: await readFile(caFile, 'utf8') }
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EISDIR')) throw thrown
    return `${await readFile(join(file, 'tls.key'), 'utf8')}\n${await readFile(join(file, 'tls.crt'), 'utf8')}`
  }
}

/** Where the certificate of this name is: as the local launcher writes it, or a folder of its own, a mounted Secret. */
export async function identityPlace(tlsFolder: string, name: string): Promise<{ file: string; caFile: string }> {
  const folder = join(tlsFolder, name)
  const mounted = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  )
  return mounted ? { file: folder, caFile: join(folder, 'ca.crt') } : { file: `${folder}.pem`, caFile: join(tlsFolder, 'ca.crt') }
}
