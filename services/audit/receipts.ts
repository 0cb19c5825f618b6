import { ServiceError } from '../shared/errors.ts'
import { decodeRecord } from './records/record.ts'
import type { FoundRequest } from './requests.ts'
import type { LogStore } from './store/store.ts'
import { parseCheckpoint } from './tlog/checkpoint.ts'
import { parseNote } from './tlog/note.ts'
import { proveInclusion } from './tlog/proofs.ts'
import { formatTlogProof } from './tlog/tlog-proof.ts'

export interface ReceiptsOptions {
  /** Where the records of a request are, whoever asks; undefined when there are none. */
  findRequest(requestId: string): Promise<FoundRequest | undefined>
  store: Pick<LogStore, 'entries' | 'head' | 'tile'>
  /** The note of a signed checkpoint of at least so many entries: the newest, or a new one. Throws UNAVAILABLE. */
  checkpointOf(size: number): Promise<string>
}

/** What shows that a request's record is in the log, for whoever has it and the log's public key. */
export interface Receipts {
  /**
   * A c2sp.org/tlog-proof of the record of its end, or of its begin while it runs, with the record itself as extra data.
   * Throws NOT_FOUND receipt_not_found when there is none, it was pruned, or it is another team's: these can't be told apart.
   */
  receiptOf(requestId: string, team: string): Promise<string>
  /** The same of the record at a place, if it is of an isolation check: NOT_FOUND receipt_not_found for any other. */
  isolationProof(index: number): Promise<string>
}

export function createReceipts({ findRequest, store, checkpointOf }: ReceiptsOptions): Receipts {
  return {
    async receiptOf(requestId, team) {
      const found = await findRequest(requestId)
      if (found === undefined || found.team !== team) throw notFound()
      const index = found.end ?? found.begin
      const record = await entryAt(store, index)
      if (record === undefined) throw notFound()
      return proofOf(index, record)
    },
    async isolationProof(index) {
      const record = index < (await store.head()).size ? await entryAt(store, index) : undefined
      if (record === undefined || decodeRecord(record)?.type !== 'isolation.checked') throw notFound()
      return proofOf(index, record)
    },
  }

  async function proofOf(index: number, record: Uint8Array): Promise<string> {
    const checkpoint = await checkpointOf(index + 1)
    const { size } = parseCheckpoint(parseNote(checkpoint).text)
    const proof = await proveInclusion(index, size, (level, tile, width) => store.tile(level, tile, width))
    return formatTlogProof({ index, proof, checkpoint, extra: record })
  }
}

async function entryAt(store: ReceiptsOptions['store'], index: number): Promise<Uint8Array | undefined> {
  for await (const entry of store.entries(index, index + 1)) return entry
  return undefined
}

function notFound(): ServiceError {
  return new ServiceError('NOT_FOUND', 'receipt_not_found', 'There is no receipt of this request: it is not known, older than records are kept, or not one of your team.')
}
