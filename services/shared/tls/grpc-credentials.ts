import { createSecureContext } from 'node:tls'
import { CallCredentials, ChannelCredentials, type experimental, ServerCredentials } from '@grpc/grpc-js'
import type { Identity } from './identity.ts'
import type { Material } from './material.ts'
import { sanOf } from './service-name.ts'

export { serviceNameOfPeer } from './service-name.ts'

/** Both ends are ours. */
const minVersion = 'TLSv1.3'

/**
 * For servers: asks each client for a certificate of ours. New handshakes use the identity as it is then, open connections go on.
 */
export function serverCredentials(identity: Identity): ServerCredentials {
  return new IdentityServerCredentials(identity)
}

/** For channels. New connections use the identity as it is then; open ones go on. */
export function channelCredentials(identity: Identity): ChannelCredentials {
  return new IdentityChannelCredentials(identity)
}

/** Peers are dialled by address and checked by the name of the service: on current Node.js, TLS to a bare IP fails otherwise. */
export function channelOptions(service: string): Record<string, string> {
  return { 'grpc.ssl_target_name_override': sanOf(service), 'grpc.default_authority': sanOf(service) }
}

// grpc-js has credentials that follow a provider (experimental.createCertificateProvider…), but they take no TLS version and a
// server of theirs has no certificate until the provider's first update. Its base classes are public and need little more.

class IdentityServerCredentials extends ServerCredentials {
  readonly #identity: Identity
  #unfollow: (() => void) | undefined

  constructor(identity: Identity) {
    super({ requestCert: true, rejectUnauthorized: true, minVersion })
    this.#identity = identity
  }

  override _getSecureContextOptions(): ReturnType<ServerCredentials['_getSecureContextOptions']> {
    return contextOptions(this.#identity.current())
  }

  override _addWatcher(watcher: Parameters<ServerCredentials['_addWatcher']>[0]): void {
    super._addWatcher(watcher)
    this.#unfollow ??= this.#identity.onChange((material) => this.updateSecureContextOptions(contextOptions(material)))
  }

  override _removeWatcher(watcher: Parameters<ServerCredentials['_removeWatcher']>[0]): void {
    super._removeWatcher(watcher)
    if (this.getWatcherCount() > 0) return
    this.#unfollow?.()
    this.#unfollow = undefined
  }

  _equals(other: ServerCredentials): boolean {
    return other instanceof IdentityServerCredentials && other.#identity === this.#identity
  }
}

type ConnectorParameters = Parameters<ChannelCredentials['_createSecureConnector']>

class IdentityChannelCredentials extends ChannelCredentials {
  readonly #identity: Identity
  #made: { of: Material; credentials: ChannelCredentials } | undefined

  constructor(identity: Identity) {
    super()
    this.#identity = identity
  }

  _isSecure(): boolean {
    return true
  }

  _equals(other: ChannelCredentials): boolean {
    return other instanceof IdentityChannelCredentials && other.#identity === this.#identity
  }

  _createSecureConnector(...[target, options, given]: ConnectorParameters): experimental.SecureConnector {
    const callCredentials = given ?? CallCredentials.createEmpty()
    return {
      connect: (socket) => this.#current()._createSecureConnector(target, options, callCredentials).connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => undefined,
    }
  }

  #current(): ChannelCredentials {
    const of = this.#identity.current()
    if (this.#made?.of !== of) {
      const context = createSecureContext(contextOptions(of))
      this.#made = { of, credentials: ChannelCredentials.createFromSecureContext(context) }
    }
    return this.#made.credentials
  }
}

function contextOptions({ key, cert, ca }: Material): { key: Buffer; cert: Buffer; ca: Buffer; minVersion: typeof minVersion } {
  return { key, cert, ca, minVersion }
}
