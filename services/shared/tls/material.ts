import { type KeyObject, X509Certificate, createPrivateKey } from 'node:crypto'
import { createSecureContext } from 'node:tls'

/** What TLS needs of a service, as PEM. */
export interface Material {
  key: Buffer
  /** The service's certificate, then the intermediate ones if there are any. */
  cert: Buffer
  /** The CAs that peers' certificates may come from: during a change of the CA both. */
  ca: Buffer
  /** The end of the certificate's life. */
  notAfter: Date
}

export type MaterialProblem =
  | 'private_key_unreadable'
  | 'certificate_unreadable'
  | 'ca_unreadable'
  | 'key_mismatch'
  | 'not_yet_valid'
  | 'expired'
  | 'not_issued_by_ca'
  | 'refused_by_tls'

const texts: Record<MaterialProblem, string> = {
  private_key_unreadable: 'holds no readable private key',
  certificate_unreadable: 'holds no readable certificate',
  ca_unreadable: 'has a CA file beside it that holds no readable certificate',
  key_mismatch: 'holds a private key and a certificate that do not match',
  not_yet_valid: 'holds a certificate that is not valid yet: is the clock right?',
  expired: 'holds a certificate that has expired',
  not_issued_by_ca: 'holds a certificate that comes from none of the CAs in the CA file',
  refused_by_tls: 'holds a key or certificate that TLS does not take',
}

/** Why a certificate can't be used. */
export class UnusableMaterial extends Error {
  override readonly name = 'UnusableMaterial'
  readonly reason: MaterialProblem

  constructor(reason: MaterialProblem, file: string, cause?: unknown) {
    super(`${file} ${texts[reason]}.`, { cause })
    this.reason = reason
  }
}

export interface MaterialFiles {
  /** Name of the file, for the error. */
  file: string
  /** Its content: a private key and a certificate chain. */
  pem: string
  /** Content of the CA file. */
  ca: string
  now: Date
}

/**
 * Takes a key and its certificate from their PEM text if a peer that trusts `ca` would take them too. Throws UnusableMaterial.
 */
export function parseMaterial({ file, pem, ca, now }: MaterialFiles): Material {
  const keyPem = /-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----[^-]+-----END \1-----/.exec(pem)?.[0] ?? ''
  const key = readable('private_key_unreadable', file, () => createPrivateKey(keyPem))
  const chain = certificatesIn('certificate_unreadable', file, pem)
  const authorities = certificatesIn('ca_unreadable', file, ca)
  const [leaf, ...intermediates] = chain
  if (leaf === undefined) throw new UnusableMaterial('certificate_unreadable', file)
  if (authorities.length === 0) throw new UnusableMaterial('ca_unreadable', file)
  refuseUnless(leaf.checkPrivateKey(key), 'key_mismatch', file)
  refuseUnless(leaf.validFromDate <= now, 'not_yet_valid', file)
  refuseUnless(now < leaf.validToDate, 'expired', file)
  const trusted = authorities.filter(({ validToDate }) => now < validToDate)
  refuseUnless(leadsTo(trusted, leaf, intermediates), 'not_issued_by_ca', file)
  const material = { key: pemOfKey(key), cert: pemOf(chain), ca: pemOf(authorities), notAfter: leaf.validToDate }
  readable('refused_by_tls', file, () => createSecureContext({ key: material.key, cert: material.cert, ca: material.ca }))
  return material
}

function refuseUnless(holds: boolean, reason: MaterialProblem, file: string): void {
  if (!holds) throw new UnusableMaterial(reason, file)
}

function readable<T>(reason: MaterialProblem, file: string, read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    throw new UnusableMaterial(reason, file, thrown)
  }
}

/** All certificates of a PEM text; one that is cut off makes the whole unreadable. */
function certificatesIn(reason: MaterialProblem, file: string, pem: string): X509Certificate[] {
  const begun = pem.split('-----BEGIN CERTIFICATE-----').slice(1)
  return begun.map((rest) => readable(reason, file, () => new X509Certificate(`-----BEGIN CERTIFICATE-----${rest}`)))
}

function leadsTo(authorities: X509Certificate[], leaf: X509Certificate, intermediates: X509Certificate[]): boolean {
  const issued = (issuer: X509Certificate): boolean => leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey)
  if (authorities.some(issued)) return true
  const next = intermediates.find(issued)
  return next !== undefined && leadsTo(authorities, next, intermediates.filter((other) => other !== next))
}

function pemOf(certificates: X509Certificate[]): Buffer {
  return Buffer.from(certificates.map((certificate) => certificate.toString()).join(''))
}

function pemOfKey(key: KeyObject): Buffer {
  return Buffer.from(key.export({ type: 'pkcs8', format: 'pem' }))
}
