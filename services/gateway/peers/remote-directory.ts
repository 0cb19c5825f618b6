import { DirectoryService, type DirectoryPart } from '../../../proto/gen/intramuros/v1/directory.ts'
import { isSecret } from '../../shared/directory/api-key.ts'
import { type Credential, credentialOf } from '../../shared/directory/credentials.ts'
import type { KeyCheck } from '../../shared/directory/directory.ts'
import { hmacOf } from '../../shared/directory/hmac-key.ts'
import { asServiceError, ServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import type { LaneClient } from '../../shared/rpc/lane-client.ts'
import { createLaneSet } from './lane-set.ts'

export interface RemoteDirectoryOptions {
  /** Connects to one audit service, for directory.proto. */
  connect(address: string): LaneClient
  addresses: readonly string[]
  log: Logger
  retryMs?: number
}

/** The directory as the ledger's service tells it. */
export interface RemoteDirectory extends KeyCheck {
  /** It has been told. */
  readonly known: boolean
  /** From now on these are the audit services. */
  set(addresses: readonly string[]): void
}

interface State {
  hmacKey: Buffer
  live: Map<string, Credential>
  revoked: Map<string, { team: string; keyId: string }>
}

/**
 * Follows the directory; a change is known some 100 ms later. While it can't be followed, what was last told counts: then the ledger is away as well, and
 * requests are refused for that.
 */
export function followDirectory({ connect, addresses, log, retryMs = 200 }: RemoteDirectoryOptions): RemoteDirectory {
  const peer = createLaneSet({ peer: 'audit', connect, addresses, calls: 'one' })
  const closing = new AbortController()
  let state: State | undefined
  let troubled = false

  async function follow(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        if (peer.up) await readAll()
      } catch (thrown) {
        const failure = asServiceError(thrown)
        if (!troubled && !closing.signal.aborted) log.warn({ err: describeError(failure) }, 'the directory of teams and keys is not told at the moment')
        troubled = true
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs).unref())
    }
  }

  async function readAll(): Promise<void> {
    let parts: DirectoryPart[] = []
    for await (const part of peer.stream(DirectoryService.watch, {}, { requestId: '', signal: closing.signal })) {
      parts.push(part)
      if (!part.last) continue
      state = stateOf(parts)
      parts = []
      if (troubled) log.info({}, 'the directory of teams and keys is told again')
      troubled = false
    }
  }

  function known(): State {
    if (state === undefined) throw new ServiceError('UNAVAILABLE', 'directory_unavailable', 'API keys cannot be checked at the moment.', { retryAfterMs: 1000 })
    return state
  }

  void follow()
  return {
    get known() {
      return state !== undefined
    },
    authenticate(secret) {
      if (!isSecret(secret)) return undefined
      const { hmacKey, live } = known()
      return live.get(hmacOf(hmacKey, secret).toString('hex'))
    },
    revokedKey(secret) {
      if (!isSecret(secret)) return undefined
      const { hmacKey, revoked } = known()
      return revoked.get(hmacOf(hmacKey, secret).toString('hex'))
    },
    set: (audits) => peer.set(audits),
    close() {
      closing.abort(new ServiceError('CANCELLED', 'closing', 'The gateway is closing.'))
      peer.close()
    },
  }
}

function stateOf(parts: readonly DirectoryPart[]): State {
  const [first] = parts
  if (first === undefined || first.hmacKey.length !== 32) throw new ServiceError('INTERNAL', 'directory_unreadable', 'The directory came without its key.')
  const teams = new Map(first.teams.map((team) => [team.name, team]))
  const live: State['live'] = new Map()
  const revoked: State['revoked'] = new Map()
  for (const { hmac, id, team, revoked: isRevoked } of parts.flatMap(({ keys }) => keys)) {
    const terms = teams.get(team)
    if (isRevoked) revoked.set(hmac.toString('hex'), { team, keyId: id })
    else if (terms !== undefined) live.set(hmac.toString('hex'), credentialOf(terms, id))
  }
  return { hmacKey: first.hmacKey, live, revoked }
}
