import { X509Certificate, createPrivateKey } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { describeError, type Logger } from '../log.ts'

export interface IdentityOptions {
  /** PEM file with the private key and then the certificate chain: one file, so that they can't mismatch. */
  file: string
  /** PEM bundle of the CAs that peers' certificates may be signed by. */
  caFile: string
  log: Logger
  /** How often the files are read in any case: some file systems tell nothing of changes. */
  pollMs?: number
}

export interface Material {
  key: Buffer
  cert: Buffer
  ca: Buffer
}

/** A service's own certificate, kept up to date with its files. */
export interface Identity {
  current(): Material
  /** Called after each change. Returns a function that ends it. */
  onChange(listener: (material: Material) => void): () => void
  close(): void
}

/** Reads a certificate and follows its files. Throws when it can't be used at the start; later, the last good one stays. */
export async function watchIdentity({ file, caFile, log, pollMs = 5000 }: IdentityOptions): Promise<Identity> {
  let material = await readMaterial(file, caFile)
  const listeners = new Set<(material: Material) => void>()
  let closed = false
  let reading = false
  let again = false

  async function refresh(): Promise<void> {
    if (reading) {
      again = true
      return
    }
    reading = true
    do {
      again = false
      try {
        const read = await readMaterial(file, caFile)
        if (closed || same(read, material)) continue
        material = read
        log.info({ file: basename(file), expires: new X509Certificate(read.cert).validTo }, 'certificate taken up')
        for (const listener of listeners) listener(read)
      } catch (thrown) {
        if (!closed) log.warn({ file: basename(file), err: describeError(thrown) }, 'certificate not taken up: the last good one stays')
      }
    } while (again && !closed)
    reading = false
  }

  const poll = setInterval(() => void refresh(), pollMs)
  poll.unref()
  const folders = new Set([dirname(file), dirname(caFile)])
  const watchers = [...folders].map((folder) => watchFolder(folder, () => void refresh()))
  return {
    current: () => material,
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close() {
      closed = true
      clearInterval(poll)
      for (const watcher of watchers) watcher?.close()
      listeners.clear()
    },
  }
}

function watchFolder(folder: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, changed)
    watcher.on('error', () => undefined) // polling goes on
    return watcher
  } catch {
    return undefined // not every file system can be watched
  }
}

async function readMaterial(file: string, caFile: string): Promise<Material> {
  const [pem, ca] = await Promise.all([readFile(file), readFile(caFile)])
  const text = pem.toString()
  const at = text.indexOf('-----BEGIN CERTIFICATE-----')
  if (at < 0) throw new Error(`${file} holds no certificate`)
  const key = Buffer.from(text.slice(0, at))
  const cert = Buffer.from(text.slice(at))
  const leaf = new X509Certificate(cert)
  if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error(`the key and the certificate in ${file} do not match`)
  if (leaf.validToDate.getTime() <= Date.now()) throw new Error(`the certificate in ${file} has expired`)
  new X509Certificate(ca)
  return { key, cert, ca }
}

function same(a: Material, b: Material): boolean {
  return a.key.equals(b.key) && a.cert.equals(b.cert) && a.ca.equals(b.ca)
}
