import type { AttachEvent, AttachRequest, BeginRequest, EndRequest, Receipt } from '../../proto/gen/intramuros/v1/audit.ts'
import type { Logger } from '../shared/log.ts'
import type { StreamHandler, UnaryHandler } from '../shared/rpc/handler.ts'
import type { Ledger } from './ledger.ts'
import { validAttach, validBegin, validEnd } from './validate.ts'

export interface AuditServiceOptions {
  ledger: Ledger
  log: Logger
}

/** The handlers of audit.proto. */
export interface AuditService {
  attach: StreamHandler<AttachRequest, AttachEvent>
  begin: UnaryHandler<BeginRequest, Receipt>
  end: UnaryHandler<EndRequest, Receipt>
}

export function createAuditService({ ledger, log }: AuditServiceOptions): AuditService {
  return {
    async *attach(request, call) {
      const { instance, open } = validAttach(request)
      const attachment = await ledger.attach(instance, open)
      try {
        log.info({ instance, open: open.length }, 'gateway attached')
        yield {}
        const over = AbortSignal.any([call.signal, attachment.over])
        await aborted(over)
        throw over.reason
      } finally {
        attachment.detach()
        log.info({ instance }, 'gateway detached')
      }
    },
    async begin(request, call) {
      const fields = validBegin(request)
      // Nobody waits for it any more, and a gateway that died would never end it.
      call.signal.throwIfAborted()
      const index = await ledger.begin(fields)
      log.debug({ requestId: fields.requestId, index }, 'request begun')
      return { index: BigInt(index) }
    },
    async end(request) {
      const fields = validEnd(request)
      const index = await ledger.end(fields)
      const { requestId, outcome, durationUs } = fields
      log.info({ requestId, index, outcome, durationMs: Math.round(durationUs / 1000) }, 'request ended')
      return { index: BigInt(index) }
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
