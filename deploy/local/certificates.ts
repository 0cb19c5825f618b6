import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sanOf } from '../../services/shared/tls/service-name.ts'
import { ensureAuthority, pemOfKey, renewalOf, validityOf } from './certificate-authority.ts'
import { canonicalAddress, canonicalNames } from './https-names.ts'
import type { KeyPair, Leaf } from './issue-certificate.ts'
import { readIfThere, replaceFile, restrictToOwner } from './secret-files.ts'

export interface CertificateOptions {
  /**
   * Folder of all of them, made if missing, for the owner alone. Nobody else writes there at the same time: the launcher's lock
   * sees to it.
   */
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
  /** When there is something to do next. */
  renewAt: Date
}

const day = 86_400_000
const services = ['gateway', 'tokenizer', 'inference-worker', 'audit']
// RFC 5280 4.2.1.12
const serverAuth = '1.3.6.1.5.5.7.3.1'
const clientAuth = '1.3.6.1.5.5.7.3.2'
const longestWaitMs = 3_600_000
const shortestWaitMs = 1000
const retryMs = 60_000

/**
 * Makes or renews the CA and one certificate for each service, for the command line and for the public address, as needed: ca.key, ca.crt (what to
 * trust), and for each of them a `<name>.pem` with the private key and then its certificate, replaced in one step, so that the
 * two always match. After a crash at any point, running it again does the rest. Throws a StartError when the CA's files are
 * damaged: clients trust the old CA, so a new one has to be asked for.
 */
export async function ensureCertificates(options: CertificateOptions): Promise<CertificateState> {
  const { folder, leafLifetimeMs = 30 * day, caLifetimeMs = 3650 * day } = options
  const now = options.now()
  const wanted: Leaf[] = [
    ...services.map((name) => ({ name, sans: [sanOf(name)], usages: [clientAuth, serverAuth] })),
    // The command line's: it calls the ledger, and nobody can be answered with it.
    { name: 'cli', sans: [sanOf('cli')], usages: [clientAuth] },
    // Not for clients: whoever has this one can't call a service with it.
    { name: 'https', sans: canonicalNames(['localhost', '127.0.0.1', '::1', ...options.httpsNames]), usages: [serverAuth] },
  ]
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
  const leafFiles = wanted.map(({ name }) => `${name}.pem`)
  const { authority, changed, nextStep } = await ensureAuthority({ folder, now, lifetimeMs: caLifetimeMs, leafFiles })

  let renewAt = nextStep
  for (const leaf of wanted) {
    const file = join(folder, `${leaf.name}.pem`)
    let certificate = await readLeaf(file, leaf, authority, now)
    if (certificate === undefined) {
      // Loaded here: it takes a tenth of a second that most starts need not spend.
      const { issueLeaf } = await import('./issue-certificate.ts')
      const made = await issueLeaf(authority, leaf, validityOf(now, leafLifetimeMs))
      await replaceFile(file, pemOfKey(made.key) + made.certificate.toString(), 0o600)
      changed.push(`${leaf.name}.pem`)
      certificate = made.certificate
    }
    const due = renewalOf(certificate)
    if (due < renewAt) renewAt = due
  }
  return { changed, renewAt }
}

/**
 * Runs ensureCertificates when something is due, and hourly in case the clock was moved or the machine slept; a minute after a
 * failure. `report` gets the state or the failure each time. Does not keep the process alive. Stops with the returned function.
 */
export function keepCertificatesFresh(
  options: CertificateOptions,
  renewAt: Date,
  report: (state: CertificateState | undefined, failure: unknown) => void,
): () => void {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  const schedule = (waitMs: number): void => {
    if (stopped) return
    timer = setTimeout(() => void check(), Math.min(Math.max(waitMs, shortestWaitMs), longestWaitMs))
    timer.unref()
  }
  const check = async (): Promise<void> => {
    try {
      const state = await ensureCertificates(options)
      schedule(state.renewAt.getTime() - options.now().getTime())
      report(state, undefined)
    } catch (thrown) {
      schedule(retryMs)
      report(undefined, thrown)
    }
  }
  schedule(renewAt.getTime() - options.now().getTime())
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}

/** The certificate in a file if it is whole, of this CA, as wanted, and not due yet. */
async function readLeaf(file: string, leaf: Leaf, authority: KeyPair, now: Date): Promise<X509Certificate | undefined> {
  const pem = await readIfThere(file)
  if (pem === undefined) return undefined
  try {
    const at = pem.indexOf('-----BEGIN CERTIFICATE-----')
    const certificate = new X509Certificate(pem.slice(at))
    const { publicKey } = authority.certificate
    const good =
      certificate.checkPrivateKey(createPrivateKey(pem.slice(0, at))) &&
      certificate.checkIssued(authority.certificate) &&
      certificate.verify(publicKey) &&
      sameItems(sansOf(certificate), leaf.sans) &&
      sameItems(certificate.keyUsage ?? [], leaf.usages) &&
      certificate.validFromDate <= now &&
      now < renewalOf(certificate)
    if (!good) return undefined
    await restrictToOwner(file)
    return certificate
  } catch {
    return undefined // damaged: a new one takes its place
  }
}

/** DNS names and addresses in the form that canonicalNames gives. Node.js lists them as "DNS:a, IP Address:1:0:0:0:0:0:0:2". */
function sansOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '').split(', ').map((san) => canonicalAddress(san.replace(/^(DNS|IP Address):/, '')))
}

function sameItems(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && b.every((item) => a.includes(item))
}
