import 'reflect-metadata' // @peculiar/x509's dependency injection needs it to be there first
import { KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as PeculiarCertificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

/** Certificates after RFC 5280, with ECDSA P-256 keys and random serials. */

export interface KeyPair {
  key: KeyObject
  certificate: X509Certificate
}

export interface Validity {
  notBefore: Date
  notAfter: Date
}

export interface Leaf {
  name: string
  /** DNS names and IP addresses. */
  sans: readonly string[]
  /** OIDs. */
  usages: readonly string[]
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A self-signed CA that may sign leaves only. Its name is its own, so that nobody takes it for the one before it. */
export async function createAuthority({ notBefore, notAfter }: Validity): Promise<KeyPair> {
  const keys = await generateKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=Intramuros CA ${notBefore.toISOString().slice(0, 10)} ${randomBytes(4).toString('hex')}`,
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return pairOf(keys, certificate)
}

/** A certificate of the CA's, with a new key. It ends with the CA at the latest. */
export async function issueLeaf(authority: KeyPair, leaf: Leaf, { notBefore, notAfter }: Validity): Promise<KeyPair> {
  const keys = await generateKeys()
  const issuer = new PeculiarCertificate(authority.certificate.raw)
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${leaf.name}`,
    issuer: issuer.subjectName,
    notBefore,
    notAfter: new Date(Math.min(notAfter.getTime(), authority.certificate.validToDate.getTime())),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: authority.key.toCryptoKey(algorithm, false, ['sign']),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...leaf.usages]),
      new SubjectAlternativeNameExtension(leaf.sans.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  })
  return pairOf(keys, certificate)
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

function pairOf(keys: webcrypto.CryptoKeyPair, certificate: PeculiarCertificate): KeyPair {
  return { key: KeyObject.from(keys.privateKey), certificate: new X509Certificate(new Uint8Array(certificate.rawData)) }
}

/** Positive and of at most 20 octets (RFC 5280 4.1.2.2), with no zeros in front. */
function serial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}
