import { type QueryPage, QueryKind, type QueryRequest, type RequestRow as RequestRowMessage } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { type Dimension, dimensions } from '../index/dimensions.ts'
import type { LogIndex } from '../index/log-index.ts'
import { isOutcome, type RequestRow } from '../index/query.ts'
import { invalid, timeOf } from './reads.ts'

const mostRows = 1000
/** Longer than any name in a record. */
const longestText = 256

/** Answers a query from the index. Throws INVALID_ARGUMENT invalid_request, UNAVAILABLE index_unavailable. */
export async function answerQuery(index: LogIndex, request: QueryRequest): Promise<QueryPage> {
  const { kind, limit, oldestFirst, team, type } = request
  const page = {
    ...periodOf(request),
    order: oldestFirst ? ('oldest' as const) : ('newest' as const),
    limit,
    ...(request.after !== undefined && { after: placeOf(request.after) }),
  }
  if (limit < 1 || limit > mostRows) throw invalid(`the limit is not from 1 to ${mostRows}`)
  const size = BigInt(index.size)
  if (kind === QueryKind.OTHERS) {
    const { rows, next } = await index.ask('events', { ...page, ...(team !== '' && { team: textOf(team) }), ...(type !== '' && { type: textOf(type) }) })
    const others = rows.map((row) => ({ index: BigInt(row.index), record: Buffer.from(row.record) }))
    return { requests: [], others, next: next === undefined ? undefined : BigInt(next), size }
  }
  if (kind !== QueryKind.REQUESTS) throw invalid('it names no kind of records')
  if (request.outcome !== '' && !isOutcome(request.outcome)) throw invalid('the outcome is none of completed, cancelled, failed, interrupted and open')
  const where: Partial<Record<Dimension, string>> = {}
  for (const dimension of dimensions) if (request[dimension] !== '') where[dimension] = textOf(request[dimension])
  const { rows, next } = await index.ask('requests', { ...page, where })
  return { requests: rows.map(messageOf), others: [], next: next === undefined ? undefined : BigInt(next), size }
}

export function periodOf(request: { fromMs?: bigint | undefined; toMs?: bigint | undefined }): { fromMs?: number; toMs?: number } {
  const [fromMs, toMs] = [timeOf(request.fromMs), timeOf(request.toMs)]
  return { ...(fromMs !== undefined && { fromMs }), ...(toMs !== undefined && { toMs }) }
}

/** A place in the log, from a message. */
export function placeOf(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid('a place is beyond the end of any log')
  return Number(value)
}

function textOf(text: string): string {
  if (text.length > longestText) throw invalid(`a text is longer than ${longestText} characters`)
  return text
}

function messageOf({ beginIndex, beganMs, end, ...rest }: RequestRow): RequestRowMessage {
  return {
    beginIndex: BigInt(beginIndex),
    beganMs: BigInt(beganMs),
    ...rest,
    end: end && {
      index: BigInt(end.index),
      atMs: BigInt(end.atMs),
      outcome: end.outcome,
      finishReason: end.finishReason,
      error: end.error,
      inputTokens: BigInt(end.inputTokens),
      cachedTokens: BigInt(end.cachedTokens),
      outputTokens: BigInt(end.outputTokens),
      firstTokenUs: BigInt(end.firstTokenUs),
      durationUs: BigInt(end.durationUs),
      workerUs: BigInt(end.workerUs),
      worker: end.worker,
    },
  }
}
