import { asServiceError, type ServiceError } from '../../shared/errors.ts'
import { type CallOptions, type LaneClient, type Peer, peerUnreachable } from '../../shared/rpc/lane-client.ts'
import type { StreamDefinition, UnaryDefinition } from '../../shared/rpc/methods.ts'

/** Lanes to the replicas of one service, called as if they were one. */
export interface LaneSet extends Peer {
  /** From now on these are the replicas. One that is no longer among them gets no new calls, and its lane is closed once those under way have ended. */
  set(addresses: readonly string[]): void
}

export interface LaneSetOptions {
  /** Service name in the peers' certificates. */
  peer: string
  connect(address: string): LaneClient
  addresses: readonly string[]
  /**
   * `spread`: a call goes to the replica with the fewest, and where it is lost there, to another: for calls that change nothing.
   * `one`: all calls go to the same replica as long as it can be reached, and one that is gone loses its calls at once: for a service of which one at a time counts.
   */
  calls: 'spread' | 'one'
}

interface Member {
  lane: LaneClient
  calls: number
  leaving: boolean
}

export function createLaneSet({ peer, connect, addresses, calls }: LaneSetOptions): LaneSet {
  const members = new Map<string, Member>()
  /** Where calls of \`one\` go. */
  let current: Member | undefined

  function set(wanted: readonly string[]): void {
    for (const [address, member] of members) {
      member.leaving = !wanted.includes(address)
      if (member.leaving) closeWhenIdle(address, member)
    }
    for (const address of wanted) if (!members.has(address)) members.set(address, { lane: connect(address), calls: 0, leaving: false })
  }

  function closeWhenIdle(address: string, member: Member): void {
    if (!member.leaving || (calls === 'spread' && member.calls > 0)) return
    members.delete(address)
    member.lane.close()
  }

  function choose(tried: ReadonlySet<Member>): Member | undefined {
    const usable = [...members.values()].filter((member) => member.lane.up && !member.leaving && !tried.has(member))
    if (calls === 'one') return (current = current !== undefined && usable.includes(current) ? current : usable[0])
    return usable.reduce<Member | undefined>((least, member) => (least === undefined || member.calls < least.calls ? member : least), undefined)
  }

  async function* call<Result>(on: (lane: LaneClient) => AsyncIterable<Result>, signal: AbortSignal): AsyncGenerator<Result, void, undefined> {
    const tried = new Set<Member>()
    let last: ServiceError | undefined
    for (;;) {
      const member = choose(tried)
      if (member === undefined) throw last ?? peerUnreachable(peer)
      tried.add(member)
      member.calls += 1
      let begun = false
      try {
        for await (const result of on(member.lane)) {
          begun = true
          yield result
        }
        return
      } catch (thrown) {
        last = asServiceError(thrown)
        if (calls === 'one' || begun || signal.aborted || last.code !== 'UNAVAILABLE') throw last
      } finally {
        member.calls -= 1
        closeWhenIdle(member.lane.address, member)
      }
    }
  }

  set(addresses)
  return {
    set,
    get up() {
      return choose(new Set()) !== undefined
    },
    async unary<Request, Response>(method: UnaryDefinition<Request, Response>, request: Request, options: CallOptions): Promise<Response> {
      const once = async function* (lane: LaneClient): AsyncGenerator<Response> {
        yield await lane.unary(method, request, options)
      }
      for await (const response of call(once, options.signal)) return response
      throw peerUnreachable(peer)
    },
    stream<Request, Response>(method: StreamDefinition<Request, Response>, request: Request, options: CallOptions) {
      return call((lane) => lane.stream(method, request, options), options.signal)
    },
    close() {
      for (const { lane } of members.values()) lane.close()
      members.clear()
    },
  }
}
