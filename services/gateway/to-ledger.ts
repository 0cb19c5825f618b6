import { randomUUID } from 'node:crypto'
import { AuditService, ServiceEvent, ServiceKind } from '../../proto/gen/intramuros/v1/audit.ts'
import type { Config } from '../shared/config/schema.ts'
import { deliverChanges } from '../shared/directory/deliver-changes.ts'
import type { Directory } from '../shared/directory/directory.ts'
import { asServiceError } from '../shared/errors.ts'
import { describeError, type Logger } from '../shared/log.ts'
import type { CallOptions, Peer } from '../shared/rpc/lane-client.ts'
import { createEvents } from './events.ts'
import type { GatewayMetrics } from './metrics.ts'
import { createRecords, type Records } from './records.ts'
import { createRefusals, type Refusals } from './refusals.ts'
import { settingsFingerprints } from './settings-fingerprints.ts'
import { createUnrecorded } from './unrecorded.ts'

export interface ToLedgerOptions {
  audit: Peer
  config: Config
  /** Whose changes the ledger is told of; undefined where the ledger has the directory itself. */
  directory: Pick<Directory, 'changesAfter'> | undefined
  /** Of this software. */
  version: string
  metrics: GatewayMetrics
  log: Logger
}

/** Everything that the gateway tells the ledger, and asks it. */
export interface ToLedger {
  records: Records
  refusals: Refusals
  receipts: { of(requestId: string, team: string, call: CallOptions): Promise<string> }
  serviceChanged(change: { service: ServiceKind; instance: string; event: ServiceEvent; version: string; model?: string; modelDigest?: string }): void
  /** Tells that this gateway stops, and waits a while for what is not recorded yet. */
  leave(): Promise<void>
  close(): void
}

const callTimeoutMs = 5000
/** A receipt may wait for a checkpoint, and that for a disk. */
const receiptTimeoutMs = 10_000
const leaveMs = 2000
const retryMs = 1000

export function createToLedger({ audit, config, directory, version, metrics, log }: ToLedgerOptions): ToLedger {
  const { instance } = config.gateway
  const closing = new AbortController()
  const events = createEvents({ audit, log, onDropped: ({ $case }) => metrics.eventsDropped.inc({ event: $case }) })
  const directoryChanges =
    directory &&
    deliverChanges({
      directory,
      log,
      async record({ id, changedAt, event, team, keyId, settings }, signal) {
        const value = { id: BigInt(id), changedAt, event, team, keyId, settings: [...settings] }
        const message = { id: `directory-${id}`, event: { $case: 'directoryChanged', value } as const }
        await audit.unary(AuditService.record, message, { requestId: message.id, signal, timeoutMs: callTimeoutMs })
      },
    })
  const refusals = createRefusals({
    record: (refused) => events.add({ $case: 'requestRefused', value: { ...refused, instance } }),
    now: () => performance.now(),
    schedule(run, ms) {
      const timer = setTimeout(run, ms).unref()
      return () => clearTimeout(timer)
    },
  })
  let attachments = 0

  /** At each attachment, by the ledger's key, which it tells when it is there: another audit service may have taken over, which remembers other settings, or none. */
  async function configure(key: Uint8Array): Promise<void> {
    const own = (attachments += 1)
    const id = randomUUID()
    while (own === attachments && records.attached && !closing.signal.aborted) {
      try {
        const request = { id, service: ServiceKind.GATEWAY, instance, fingerprints: settingsFingerprints(config, key) }
        // oxlint-disable-next-line no-await-in-loop -- until it has worked
        await audit.unary(AuditService.configure, request, { requestId: id, signal: closing.signal, timeoutMs: callTimeoutMs })
        return
      } catch (thrown) {
        log.warn({ err: describeError(asServiceError(thrown)) }, 'the ledger could not compare the settings yet')
        // oxlint-disable-next-line no-await-in-loop -- until it has worked
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref())
      }
    }
  }

  const unrecorded = createUnrecorded({ audit, events, attached: () => records.attached, log })
  const records = createRecords({
    audit,
    instance,
    beginTimeoutMs: config.audit.beginTimeoutSeconds * 1000,
    endTimeoutMs: config.audit.endTimeoutSeconds * 1000,
    log,
    onAttached({ directoryChange, settingsKey }) {
      directoryChanges?.attached(Number(directoryChange))
      void configure(settingsKey)
    },
    onUnrecorded: config.audit.onFailure === 'allow' ? (value) => {
      metrics.unrecorded.inc()
      unrecorded.note(value)
    } : undefined,
  })

  const serviceChanged: ToLedger['serviceChanged'] = (change) => events.add({ $case: 'serviceChanged', value: { model: '', modelDigest: '', ...change } })
  serviceChanged({ service: ServiceKind.GATEWAY, instance, event: ServiceEvent.STARTED, version })

  return {
    records,
    refusals,
    receipts: {
      async of(requestId, team, call) {
        const { proof } = await audit.unary(AuditService.getReceipt, { requestId, team }, { ...call, timeoutMs: receiptTimeoutMs })
        return proof
      },
    },
    serviceChanged,
    leave() {
      refusals.flush()
      serviceChanged({ service: ServiceKind.GATEWAY, instance, event: ServiceEvent.STOPPING, version })
      return Promise.all([events.flush(leaveMs), unrecorded.flush()]).then(() => undefined)
    },
    close() {
      closing.abort()
      directoryChanges?.close()
      unrecorded.close()
      events.close()
      records.close()
    },
  }
}
