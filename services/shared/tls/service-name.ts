const domain = 'intramuros.internal'
const san = /^DNS:([a-z][a-z0-9-]*)\.intramuros\.internal$/

/** SAN of a service's certificate. */
export function sanOf(service: string): string {
  return `${service}.${domain}`
}

/**
 * The service that a verified certificate (a tls.PeerCertificate) names: its only SAN, a DNS name of our domain; undefined for
 * anything else.
 */
export function serviceNameOfPeer(certificate: unknown): string | undefined {
  if (typeof certificate !== 'object' || certificate === null || !('subjectaltname' in certificate)) return undefined
  return typeof certificate.subjectaltname === 'string' ? san.exec(certificate.subjectaltname)?.[1] : undefined
}
