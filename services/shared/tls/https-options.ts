import type { Server, ServerOptions } from 'node:https'
import type { Identity } from './identity.ts'

/** TLS of the public address. */
export function httpsOptions(identity: Identity): ServerOptions {
  const { key, cert } = identity.current()
  return { key, cert, minVersion: 'TLSv1.2' }
}

/** Gives new handshakes the certificate as it changes. Returns a function that ends it. */
export function keepCertificateCurrent(server: Server, identity: Identity): () => void {
  return identity.onChange(({ key, cert }) => server.setSecureContext({ key, cert, minVersion: 'TLSv1.2' }))
}
