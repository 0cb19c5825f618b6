import type { AuditService as Definition } from '../../proto/gen/intramuros/v1/audit.ts'
import type { Logger } from '../shared/log.ts'
import type { HandlersOf } from '../shared/rpc/methods.ts'
import type { Content } from './content/content.ts'
import type { IsolationChecks } from './isolation-checks.ts'
import type { Ledger } from './ledger.ts'
import type { Receipts } from './receipts.ts'
import type { SettingsMemory } from './settings-memory.ts'
import { validAttach, validBegin, validEnd, validReceiptQuestion } from './validate.ts'
import { validConfiguration, validEvent } from './validate-event.ts'

export interface AuditServiceOptions {
  ledger: Ledger
  receipts: Receipts
  settings: SettingsMemory
  content: Pick<Content, 'keep' | 'keyDestroyed'>
  isolation: IsolationChecks
  log: Logger
}

/** The handlers of audit.proto. */
export type AuditService = HandlersOf<typeof Definition>

/** Settings that one record names; how many there are more it tells, too. */
const mostNamed = 64

export function createAuditService({ ledger, receipts, settings, content, isolation, log }: AuditServiceOptions): AuditService {
  return {
    async *attach(request, call) {
      const { instance, open } = validAttach(request)
      const attachment = await ledger.attach(instance, open)
      try {
        log.info({ instance, open: open.length }, 'gateway attached')
        yield { directoryChange: BigInt(ledger.directoryChange), settingsKey: settings.key }
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
      const index = await ledger.begin(fields, request.again)
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
    async record(request, call) {
      const { id, entry: told } = validEvent(request)
      const entry = told.type === 'isolation.checked' ? await isolation.compare(told, call.signal) : told
      const index = await ledger.record(id, entry)
      if (entry.type === 'isolation.checked') isolation.recorded(entry)
      log.info({ index, type: entry.type }, 'event recorded')
      // Behind the record: whatever becomes of the files, the ledger knows that nobody has the key any more.
      if (entry.type === 'directory.changed' && entry.event === 'content_key.destroyed') void content.keyDestroyed(entry.team, entry.keyId)
      return index === undefined ? {} : { index: BigInt(index) }
    },
    async configure(request) {
      const { id, service, instance, fingerprints } = validConfiguration(request)
      const whose = `${service} ${instance}`
      const changed = settings.compare(whose, fingerprints)
      if (changed?.length === 0) return {}
      const recorded =
        changed === undefined
          ? undefined
          : await ledger.record(id, { type: 'configuration.changed', service, instance, settings: changed.slice(0, mostNamed), more: Math.max(0, changed.length - mostNamed) })
      // Behind the record: what could not be recorded is found again at the next start.
      await settings.remember(whose, fingerprints)
      return recorded === undefined ? {} : { index: BigInt(recorded) }
    },
    async keepContent(request) {
      const index = await content.keep(request)
      return index === undefined ? {} : { index: BigInt(index) }
    },
    async getReceipt(request) {
      const { requestId, team } = validReceiptQuestion(request)
      return { proof: await receipts.receiptOf(requestId, team) }
    },
    async proveIsolation({ index }) {
      // One that is too large for a number is not in the log either.
      return { proof: await receipts.isolationProof(Number(index)) }
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
