import { ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import { TokenizerService } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import type { Peer } from '../shared/rpc/lane-client.ts'

export interface WatchTokenizerOptions {
  address: string
  onChange(change: { service: ServiceKind; instance: string; event: ServiceEvent; version: string }): void
}

const timeoutMs = 10_000

/** Tells when the tokenizer can be reached, and when no longer. */
export function watchTokenizer({ address, onChange }: WatchTokenizerOptions): { changed(tokenizer: Pick<Peer, 'unary'>, up: boolean): void } {
  let version: string | undefined
  let last: Promise<void> = Promise.resolve()

  async function joined(tokenizer: Pick<Peer, 'unary'>): Promise<void> {
    // One that is gone again before it has told its version has joined all the same.
    const described = await tokenizer.unary(TokenizerService.describe, {}, { requestId: '', signal: AbortSignal.timeout(timeoutMs), timeoutMs }).catch(() => ({ version: '' }))
    version = /^[A-Za-z0-9.+-]{1,64}$/.test(described.version) ? described.version : ''
    onChange({ service: ServiceKind.TOKENIZER, instance: address, event: ServiceEvent.JOINED, version })
  }

  function left(): void {
    if (version !== undefined) onChange({ service: ServiceKind.TOKENIZER, instance: address, event: ServiceEvent.LEFT, version })
    version = undefined
  }

  return {
    changed(tokenizer, up) {
      last = last.then(() => (up ? joined(tokenizer) : left()))
    },
  }
}
