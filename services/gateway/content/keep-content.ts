import type { Hmac } from 'node:crypto'
import { AuditService } from '../../../proto/gen/intramuros/v1/audit.ts'
import { ContentPart } from '../../../proto/gen/intramuros/v1/content.ts'
import { pieceBytes } from '../../shared/content/seal.ts'
import { asServiceError } from '../../shared/errors.ts'
import { describeError, type Logger } from '../../shared/log.ts'
import type { LaneClient } from '../../shared/rpc/lane-client.ts'
import { contentUnavailable, type DataKeys, type Sealer } from './data-keys.ts'

export interface KeepContentOptions {
  audit: Pick<LaneClient, 'unary'>
  dataKeys: Pick<DataKeys, 'sealerOf'>
  log: Logger
}

/** Keeps the content of the requests of teams that want it, encrypted. */
export interface KeepContent {
  begin(request: { teamId: string; keyId: string; requestId: string; prompt: Uint8Array }): KeptContent
}

/** The content of one request. All promises reject with UNAVAILABLE content_unavailable, and nothing more is kept once one has. */
export interface KeptContent {
  /** Resolves once the prompt is on disk and recorded. */
  readonly prompt: Promise<void>
  /** The next text of the answer. What it returns is to be waited for: the ledger does not keep up. */
  answer(text: string): Promise<void> | undefined
  /** Resolves once all of the answer is on disk and recorded. Called again, it is the same. */
  end(): Promise<void>
}

const callTimeoutMs = 5000

export function createKeepContent({ audit, dataKeys, log }: KeepContentOptions): KeepContent {
  return {
    begin({ teamId, keyId, requestId, prompt }) {
      const sealer = dataKeys.sealerOf({ teamId, keyId, requestId })
      sealer.catch(() => undefined) // told by whatever waits for it
      const part = (which: 'prompt' | 'answer'): PartWriter => createPartWriter({ audit, requestId, which, sealer, log })
      const promptWriter = part('prompt')
      promptWriter.push(prompt)?.catch(() => undefined) // told by end()
      const kept = promptWriter.end()
      kept.catch(() => undefined) // whoever awaits it handles it; nobody may get that far
      const answer = part('answer')
      let ended: Promise<void> | undefined
      return {
        prompt: kept,
        answer: (text) => answer.push(Buffer.from(text)),
        // The pieces of a request come one after the other: those of the answer behind the prompt's.
        end: () => (ended ??= kept.then(() => answer.end())),
      }
    },
  }
}

interface PartWriter {
  push(bytes: Uint8Array): Promise<void> | undefined
  end(): Promise<void>
}

interface PartOptions {
  audit: KeepContentOptions['audit']
  requestId: string
  which: 'prompt' | 'answer'
  sealer: Promise<Sealer>
  log: Logger
}

/** Cuts a part into pieces, and sends one after the other. */
function createPartWriter({ audit, requestId, which, sealer, log }: PartOptions): PartWriter {
  const part = which === 'prompt' ? ContentPart.PROMPT : ContentPart.ANSWER
  const never = new AbortController().signal
  let waiting: Uint8Array[] = []
  let size = 0
  let sequence = 0
  let total = 0
  let sent: Promise<unknown> = Promise.resolve()

  async function send(bytes: Uint8Array, at: number, final: boolean): Promise<void> {
    try {
      const { seal, fingerprints } = await sealer
      const fingerprint: Hmac = fingerprints[which].update(bytes)
      const piece = seal({ requestId, part, sequence: at, final }, bytes)
      const kept = final ? { bytes: BigInt(total), fingerprint: fingerprint.digest() } : { bytes: 0n, fingerprint: Buffer.alloc(0) }
      await audit.unary(AuditService.keepContent, { piece, ...kept }, { requestId, signal: never, timeoutMs: callTimeoutMs })
    } catch (thrown) {
      log.warn({ requestId, part: which, err: describeError(thrown) }, 'the content of a request could not be kept')
      throw contentUnavailable(asServiceError(thrown))
    }
  }

  function sendNext(bytes: Uint8Array, final: boolean): void {
    const at = sequence
    sequence += 1
    // When one has failed, none follows it.
    sent = sent.then(() => send(bytes, at, final))
    sent.catch(() => undefined) // told by end(), and by the next push
  }

  return {
    push(bytes) {
      waiting.push(bytes)
      size += bytes.length
      total += bytes.length
      if (size < pieceBytes) return undefined
      const all = Buffer.concat(waiting)
      const whole = all.length - (all.length % pieceBytes)
      for (let from = 0; from < whole; from += pieceBytes) sendNext(all.subarray(from, from + pieceBytes), false)
      waiting = whole === all.length ? [] : [all.subarray(whole)]
      size = all.length - whole
      return sent.then(() => undefined)
    },
    async end() {
      sendNext(Buffer.concat(waiting), true)
      waiting = []
      await sent
    },
  }
}
