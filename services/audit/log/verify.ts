import type { Fault } from './fault.ts'
import { scanLog } from './scan.ts'

export type VerifyResult = Verified | Tampered

export interface Verified {
  ok: true
  records: number
  bytes: number
  /** Requests that have begun and not ended: under way, or died with their gateway and not yet closed. */
  open: number
  /** Requests that died, closed as such. */
  interrupted: number
  /** Last records that a crash kept out of the head, or that were written during the check; they continue the chain. */
  beyondHead: number
  /** Bytes at the end of a record being written, or cut by a crash; nobody was told that it was stored. */
  tornBytes: number
}

/** The first bad record, and how many good ones stand before it. */
export interface Tampered extends Fault {
  ok: false
  goodRecords: number
}

/**
 * Checks the whole log of a folder, in bounded memory; the service may be running. Throws NOT_FOUND no_log when there is none. What it
 * can't notice: a log that was rewritten from some record to its end together with its head, or removed as a whole.
 */
export async function verifyLog(folder: string): Promise<VerifyResult> {
  const open = new Set<string>()
  let interrupted = 0
  const scan = await scanLog(folder, (record) => {
    if (record.type === 'begin') open.add(record.requestId)
    else {
      open.delete(record.requestId)
      if (record.outcome === 'interrupted') interrupted += 1
    }
  })
  const { log } = scan
  if (!scan.ok) {
    const { kind, position, seq, message } = scan
    return { ok: false, kind, position, ...(seq === undefined ? {} : { seq }), message, goodRecords: log.count }
  }
  const { head, tornBytes } = scan
  const beyondHead = log.count - head.count
  return { ok: true, records: log.count, bytes: log.bytes, open: open.size, interrupted, beyondHead, tornBytes }
}
