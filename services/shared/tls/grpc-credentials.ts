import type { PeerCertificate } from 'node:tls'
import { type ChannelCredentials, experimental, type ServerCredentials } from '@grpc/grpc-js'
import type { Identity, Material } from './identity.ts'

const domain = 'intramuros.internal'

/** SAN of a service's certificate. */
export function sanOf(service: string): string {
  return `${service}.${domain}`
}

/** For servers: asks each client for a certificate of ours. New handshakes use the identity as it is then. */
export function serverCredentials(identity: Identity): ServerCredentials {
  const provider = providerOf(identity)
  return experimental.createCertificateProviderServerCredentials(provider, provider, true)
}

/** For channels. New connections use the identity as it is then; open ones go on. */
export function channelCredentials(identity: Identity): ChannelCredentials {
  const provider = providerOf(identity)
  return experimental.createCertificateProviderChannelCredentials(provider, provider)
}

/** Peers are dialled by address and checked by the name of the service: on current Node.js, TLS to a bare IP fails otherwise. */
export function channelOptions(service: string): Record<string, string> {
  return { 'grpc.ssl_target_name_override': sanOf(service), 'grpc.default_authority': sanOf(service) }
}

/** The service that a verified certificate names: exactly one DNS SAN of our domain; undefined for anything else. */
export function serviceNameOfPeer(certificate: PeerCertificate | undefined): string | undefined {
  const names = (certificate?.subjectaltname ?? '').split(', ')
  const ours = names.map((name) => new RegExp(`^DNS:([a-z][a-z0-9-]*)\\.${domain.replaceAll('.', '\\.')}$`).exec(name)?.[1])
  return names.length === 1 ? ours[0] : undefined
}

function providerOf(identity: Identity): experimental.CertificateProvider {
  const stops = new Map<unknown, () => void>()
  function follow<Update>(listener: (update: Update) => void, pick: (material: Material) => Update): void {
    // Not at once: grpc-js passes an update on only after the call that subscribes has returned.
    queueMicrotask(() => stops.has(listener) && listener(pick(identity.current())))
    stops.set(listener, identity.onChange((material) => listener(pick(material))))
  }
  function unfollow(listener: unknown): void {
    stops.get(listener)?.()
    stops.delete(listener)
  }
  return {
    addCaCertificateListener: (listener) => follow(listener, ({ ca }) => ({ caCertificate: ca })),
    removeCaCertificateListener: unfollow,
    addIdentityCertificateListener: (listener) => follow(listener, ({ cert, key }) => ({ certificate: cert, privateKey: key })),
    removeIdentityCertificateListener: unfollow,
  }
}
