import 'reflect-metadata' // @peculiar/x509's dependency injection needs it to be there first
import { X509Certificate as NodeCertificate, createPrivateKey, randomBytes, webcrypto } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { sanOf } from '../../services/shared/tls/grpc-credentials.ts'

export interface CertificateOptions {
  /** Folder of all of them, made if missing, for the owner alone. */
  folder: string
  now: () => Date
  /** DNS names and IP addresses of the public address, beside localhost, 127.0.0.1 and ::1. */
  httpsNames: readonly string[]
  /** Default: 30 days. */
  leafLifetimeMs?: number
  /** Default: 10 years. */
  caLifetimeMs?: number
}

export interface CertificateState {
  /** Names of the files that were written. */
  changed: string[]
  /** When the next one is to be renewed. */
  renewAt: Date
}

const day = 86_400_000
const services = ['gateway', 'tokenizer', 'inference-worker', 'audit']
/** Clocks differ. */
const backdateMs = 5 * 60_000
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A certificate is renewed when less than this share of its life is left. */
const renewShare = 1 / 3

interface Authority {
  certificate: X509Certificate
  key: webcrypto.CryptoKey
}

/**
 * Makes or renews the CA and one certificate for each service and the public address, as needed. A file holds the private key and then
 * its certificate and is replaced in one step, so that the two always match. After a crash at any point, running it again mends the rest.
 * Throws when the CA's files are damaged: a new CA has to be asked for, since clients trust the old one.
 */
export async function ensureCertificates(options: CertificateOptions): Promise<CertificateState> {
  cryptoProvider.set(webcrypto)
  const { folder, now, leafLifetimeMs = 30 * day, caLifetimeMs = 3650 * day } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
  const changed: string[] = []

  let authority = await readAuthority(folder)
  if (authority === undefined || isDue(authority.certificate, now())) {
    const previous = authority === undefined ? '' : await readFile(join(folder, 'ca.crt'), 'utf8')
    authority = await createAuthority(now(), caLifetimeMs)
    // Trust first, then the key that signs: a crash in between leaves the old CA in use, trusted as before.
    await replaceFile(join(folder, 'ca.crt'), authority.certificate.toString('pem') + '\n' + stillValid(previous, now()), 0o644)
    await replaceFile(join(folder, 'ca.key'), await pemOfKey(authority.key), 0o600)
    changed.push('ca.crt')
  }

  let renewAt = renewalOf(authority.certificate)
  const wanted = [
    ...services.map((name) => ({ name, sans: [sanOf(name)], usages: [ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth] })),
    { name: 'https', sans: [...new Set(['localhost', '127.0.0.1', '::1', ...options.httpsNames])], usages: [ExtendedKeyUsage.serverAuth] },
  ]
  for (const leaf of wanted) {
    const file = join(folder, `${leaf.name}.pem`)
    let certificate = await readLeaf(file, authority, leaf.sans)
    if (certificate === undefined || isDue(certificate, now())) {
      certificate = await issue(authority, leaf, now(), leafLifetimeMs, file)
      changed.push(`${leaf.name}.pem`)
    }
    const due = renewalOf(certificate)
    if (due < renewAt) renewAt = due
  }
  return { changed, renewAt }
}

/** Runs ensureCertificates when the next renewal is due, and hourly in case the clock was moved. Stops with the returned function. */
export function keepCertificatesFresh(options: CertificateOptions, renewAt: Date, report: (state: CertificateState | undefined, failure: unknown) => void): () => void {
  let timer: NodeJS.Timeout
  const schedule = (due: Date): void => {
    const wait = Math.min(Math.max(due.getTime() - options.now().getTime(), 1000), 3_600_000)
    timer = setTimeout(() => void check(due), wait)
    timer.unref()
  }
  const check = async (due: Date): Promise<void> => {
    try {
      const state = await ensureCertificates(options)
      report(state, undefined)
      schedule(state.renewAt)
    } catch (thrown) {
      report(undefined, thrown)
      schedule(new Date(Math.max(due.getTime(), options.now().getTime() + 60_000)))
    }
  }
  schedule(renewAt)
  return () => clearTimeout(timer)
}

async function readAuthority(folder: string): Promise<Authority | undefined> {
  const [bundle, key] = await Promise.all([readIfThere(join(folder, 'ca.crt')), readIfThere(join(folder, 'ca.key'))])
  if (bundle === undefined && key === undefined) return undefined
  const damaged = (file: string, cause?: unknown): Error =>
    new Error(
      `The certificate authority can't be used: ${join(folder, file)} is missing or damaged. Restore it, or delete the folder ${folder} to make a new one; clients then need the new ca.crt.`,
      { cause },
    )
  // The bundle is written first, so a crash at the very first start can leave it alone. Nobody trusts it yet then.
  if (key === undefined) return (await readIfThere(join(folder, 'gateway.pem'))) === undefined ? undefined : Promise.reject(damaged('ca.key'))
  if (bundle === undefined) throw damaged('ca.crt')
  let privateKey: webcrypto.CryptoKey
  let certificates: X509Certificate[]
  try {
    privateKey = await webcrypto.subtle.importKey('pkcs8', new Uint8Array(createPrivateKey(key).export({ type: 'pkcs8', format: 'der' })), algorithm, true, ['sign'])
  } catch (thrown) {
    throw damaged('ca.key', thrown)
  }
  try {
    certificates = PemConverter.decode(bundle).map((der) => new X509Certificate(der))
  } catch (thrown) {
    throw damaged('ca.crt', thrown)
  }
  // After a crash between the two writes of a renewal the key still is the older certificate's.
  const certificate = certificates.find((candidate) => new NodeCertificate(candidate.toString('pem')).checkPrivateKey(createPrivateKey(key)))
  if (certificate === undefined) throw damaged('ca.crt')
  return { certificate, key: privateKey }
}

async function createAuthority(now: Date, lifetimeMs: number): Promise<Authority> {
  const keys = await generateKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=Intramuros CA ${now.toISOString().slice(0, 10)} ${randomBytes(4).toString('hex')}`,
    notBefore: new Date(now.getTime() - backdateMs),
    notAfter: new Date(now.getTime() + lifetimeMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate, key: keys.privateKey }
}

async function issue(authority: Authority, leaf: { name: string; sans: string[]; usages: ExtendedKeyUsage[] }, now: Date, lifetimeMs: number, file: string): Promise<X509Certificate> {
  const keys = await generateKeys()
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(leaf.usages),
    new SubjectAlternativeNameExtension(leaf.sans.map((san) => ({ type: isIP(san) === 0 ? ('dns' as const) : ('ip' as const), value: san }))),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
    await AuthorityKeyIdentifierExtension.create(authority.certificate),
  ]
  const notAfter = new Date(Math.min(now.getTime() + lifetimeMs, authority.certificate.notAfter.getTime()))
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${leaf.name}`,
    issuer: authority.certificate.subject,
    notBefore: new Date(now.getTime() - backdateMs),
    notAfter,
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    extensions,
  })
  await replaceFile(file, (await pemOfKey(keys.privateKey)) + certificate.toString('pem') + '\n', 0o600)
  return certificate
}

/** The leaf in a file if it is whole, ours and for these names. */
async function readLeaf(file: string, authority: Authority, sans: readonly string[]): Promise<X509Certificate | undefined> {
  const pem = await readIfThere(file)
  if (pem === undefined) return undefined
  try {
    const at = pem.indexOf('-----BEGIN CERTIFICATE-----')
    const certificate = new X509Certificate(pem.slice(at))
    const node = new NodeCertificate(pem.slice(at))
    if (!node.checkPrivateKey(createPrivateKey(pem.slice(0, at)))) return undefined
    if (!node.verify(new NodeCertificate(authority.certificate.toString('pem')).publicKey)) return undefined
    const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items.map((name) => name.value) ?? []
    if (names.length !== sans.length || sans.some((san) => !names.includes(san))) return undefined
    if (((await stat(file)).mode & 0o077) !== 0) await chmod(file, 0o600)
    return certificate
  } catch {
    return undefined
  }
}

function isDue(certificate: X509Certificate, now: Date): boolean {
  return now >= renewalOf(certificate) || now < certificate.notBefore
}

function renewalOf({ notBefore, notAfter }: X509Certificate): Date {
  return new Date(notAfter.getTime() - (notAfter.getTime() - notBefore.getTime()) * renewShare)
}

function stillValid(bundle: string, now: Date): string {
  if (bundle === '') return ''
  const certificates = PemConverter.decode(bundle).map((der) => new X509Certificate(der))
  return certificates.filter(({ notAfter }) => notAfter > now).map((certificate) => `${certificate.toString('pem')}\n`).join('')
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}

/** RFC 5280 4.1.2.2: positive, at most 20 octets. */
function serial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.new`
  const handle = await open(temporary, 'w', mode)
  try {
    await handle.chmod(mode)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
}
