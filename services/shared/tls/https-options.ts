import type { Server, ServerOptions } from 'node:https'
import type { Identity } from './identity.ts'
import type { Material } from './material.ts'

/** TLS of the public address: for clients of any make, so TLS 1.2 too, and those that offer nothing but HTTP/1.0 (RFC 7301; `curl --http1.0`, `ab`). */
export function httpsOptions(identity: Identity): ServerOptions {
  return { ...contextOptions(identity.current()), ALPNProtocols: ['http/1.1', 'http/1.0'] }
}

/** Gives new handshakes the certificate as it changes; open connections go on. Returns a function that ends it. */
export function keepCertificateCurrent(server: Server, identity: Identity): () => void {
  return identity.onChange((material) => server.setSecureContext(contextOptions(material)))
}

function contextOptions({ key, cert }: Material): { key: Buffer; cert: Buffer; minVersion: 'TLSv1.2' } {
  return { key, cert, minVersion: 'TLSv1.2' }
}
