import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyPair, Validity } from './issue-certificate.ts'
import { moveFile, readIfThere, replaceFile, restrictToOwner } from './secret-files.ts'
import { StartError } from './start-error.ts'

/**
 * The CA in three files. `ca.crt` is the bundle that everybody trusts; `ca.key` signs, and its certificate is the one in the
 * bundle that it matches. When a third of the CA's life is left, the key of the next one is written to `ca-next.key` and its
 * certificate is added to the bundle; when a sixth is left it takes over: `ca-next.key` becomes `ca.key`. By then the services
 * have long read the new bundle, and people outside had time to fetch it. The old certificate stays in the bundle until it
 * expires. Each step is one rename, and a key counts for nothing until its certificate is in the bundle.
 */

export interface AuthorityOptions {
  folder: string
  now: Date
  lifetimeMs: number
  /** Names of files that only a CA that was in use leaves behind. */
  leafFiles: readonly string[]
}

export interface AuthorityState {
  /** Signs leaves. */
  authority: KeyPair
  changed: string[]
  nextStep: Date
}

/** A certificate is renewed when less than this share of its life is left. */
const renewShare = 1 / 3
/** Share of its life that a CA has left when the next one takes over. */
const takeOverShare = 1 / 6
/** A new CA signs nothing before the running services have surely read the bundle with it: they do so every few seconds. */
const spreadMs = 60_000
/** Clocks differ: a certificate is valid from a little before it was made. */
const backdateMs = 5 * 60_000

/** Makes or renews the CA as needed. Throws a StartError when its files are damaged or the clock can't be right. */
export async function ensureAuthority(options: AuthorityOptions): Promise<AuthorityState> {
  const { folder, now, lifetimeMs } = options
  const paths = { bundle: join(folder, 'ca.crt'), key: join(folder, 'ca.key'), next: join(folder, 'ca-next.key') }
  const changed: string[] = []
  const bundleText = await readIfThere(paths.bundle)
  const keyText = await readIfThere(paths.key)

  if (bundleText === undefined && (keyText === undefined || !(await inUse(options)))) {
    const made = await makeAuthority(validityOf(now, lifetimeMs))
    await replaceFile(paths.key, pemOfKey(made.key), 0o600)
    await replaceFile(paths.bundle, made.certificate.toString(), 0o644)
    return { authority: made, changed: ['ca.key', 'ca.crt'], nextStep: renewalOf(made.certificate) }
  }
  const bundle = readBundle(folder, bundleText)
  let authority = current(folder, bundle, keyText)
  await restrictToOwner(paths.key)
  if (now < authority.certificate.validFromDate) {
    const made = authority.certificate.validFromDate.toISOString()
    throw new StartError(
      `The clock says ${now.toISOString()}, but the certificate authority in ${folder} was made at ${made}. ` +
        `Set the clock, or ${newAuthority(folder)}`,
    )
  }

  let next = nextOf(bundle, await readIfThere(paths.next), now)
  if (next === undefined && now >= renewalOf(authority.certificate)) {
    next = await makeAuthority(validityOf(now, lifetimeMs))
    await replaceFile(paths.next, pemOfKey(next.key), 0o600)
    bundle.push(next.certificate)
    changed.push('ca-next.key')
  }
  // The one in use stays in any case: without it its key would be a stranger, were this the last step before a crash.
  const trusted = bundle.filter((certificate) => now < certificate.validToDate || certificate === authority.certificate)
  // Trust first: nothing is signed with a key whose certificate is not in the bundle.
  if (changed.length > 0 || trusted.length < bundle.length) {
    await replaceFile(paths.bundle, trusted.map(String).join(''), 0o644)
    changed.push('ca.crt')
  }
  if (next !== undefined && now >= takeOverOf(authority, next)) {
    await moveFile(paths.next, paths.key)
    changed.push('ca.key')
    authority = next
    next = undefined
  }
  return { authority, changed, nextStep: next === undefined ? renewalOf(authority.certificate) : takeOverOf(authority, next) }
}

export function validityOf(now: Date, lifetimeMs: number): Validity {
  return { notBefore: new Date(now.getTime() - backdateMs), notAfter: new Date(now.getTime() + lifetimeMs) }
}

/** When a certificate is to be renewed. */
export function renewalOf(certificate: X509Certificate): Date {
  return whenLeft(certificate, renewShare)
}

export function pemOfKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' })
}

/** Loads what makes certificates only then: it takes a tenth of a second that most starts need not spend. */
async function makeAuthority(validity: Validity): Promise<KeyPair> {
  const { createAuthority } = await import('./issue-certificate.ts')
  return createAuthority(validity)
}

function takeOverOf(authority: KeyPair, next: KeyPair): Date {
  const spread = next.certificate.validFromDate.getTime() + backdateMs + spreadMs
  const planned = whenLeft(authority.certificate, takeOverShare).getTime()
  return new Date(Math.min(Math.max(spread, planned), authority.certificate.validToDate.getTime()))
}

function whenLeft({ validFromDate, validToDate }: X509Certificate, share: number): Date {
  return new Date(validToDate.getTime() - (validToDate.getTime() - validFromDate.getTime()) * share)
}

function readBundle(folder: string, text: string | undefined): X509Certificate[] {
  try {
    const begin = '-----BEGIN CERTIFICATE-----'
    const certificates = (text ?? '').split(begin).slice(1).map((rest) => new X509Certificate(begin + rest))
    if (certificates.length > 0) return certificates
  } catch (thrown) {
    throw damaged(folder, 'ca.crt', thrown)
  }
  throw damaged(folder, 'ca.crt')
}

function current(folder: string, bundle: X509Certificate[], keyText: string | undefined): KeyPair {
  const key = readKey(keyText)
  if (key === undefined) throw damaged(folder, 'ca.key')
  const certificate = bundle.find((candidate) => candidate.checkPrivateKey(key))
  if (certificate === undefined) throw damaged(folder, 'ca.crt or ca.key (they do not match)')
  return { key, certificate }
}

/** The CA that is to take over, if its key is there and its certificate is trusted and fresh. Otherwise there will be another. */
function nextOf(bundle: X509Certificate[], keyText: string | undefined, now: Date): KeyPair | undefined {
  const key = readKey(keyText)
  if (key === undefined) return undefined
  const certificate = bundle.find((candidate) => candidate.checkPrivateKey(key))
  return certificate === undefined || now >= renewalOf(certificate) ? undefined : { key, certificate }
}

function readKey(text: string | undefined): KeyObject | undefined {
  try {
    return text === undefined ? undefined : createPrivateKey(text)
  } catch {
    return undefined
  }
}

async function inUse({ folder, leafFiles }: AuthorityOptions): Promise<boolean> {
  const found = await Promise.allSettled(leafFiles.map((name) => access(join(folder, name))))
  return found.some(({ status }) => status === 'fulfilled')
}

function damaged(folder: string, file: string, cause?: unknown): StartError {
  const what = `The certificate authority can't be used: ${join(folder, file)} is missing or damaged.`
  return new StartError(`${what} Restore it from a copy, or ${newAuthority(folder)}`, { cause })
}

function newAuthority(folder: string): string {
  return `delete the folder ${folder} to make a new one; clients then need the new ca.crt.`
}
