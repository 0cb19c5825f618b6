import type { LoggedRecord } from '../../../proto/gen/intramuros/v1/audit_read.ts'
import { csvLine } from '../csv.ts'

const requestColumns = [
  'began', 'ended', 'team', 'keyId', 'subject', 'model', 'endpoint', 'stream', 'outcome', 'finishReason', 'error', 'inputTokens', 'cachedTokens', 'outputTokens', 'durationUs', 'workerUs', 'worker',
  'requestId', 'beginRecord', 'endRecord',
] as const
const otherColumns = ['at', 'type', 'team', 'details', 'record'] as const

/** The records as tables for people: one row for each request, when it has ended, and one for each other record. */
export interface RecordTables {
  requestsHead: string
  othersHead: string
  add(records: readonly LoggedRecord[]): { requests: string; others: string }
  /** Rows of the requests whose end was not among the records. */
  rest(): string
}

type Fields = Record<string, unknown>

export function createRecordTables(): RecordTables {
  const begun = new Map<string, Fields>()
  return {
    requestsHead: csvLine(requestColumns),
    othersHead: csvLine(otherColumns),
    add(records) {
      let requests = ''
      let others = ''
      for (const { index, record } of records) {
        const fields = JSON.parse(record.toString('latin1')) as Fields
        const id = String(fields['requestId'])
        if (fields['type'] === 'request.begin') begun.set(id, { ...fields, began: fields['at'], beginRecord: Number(index) })
        else if (fields['type'] === 'request.end') {
          requests += requestLine({ ...begun.get(id), ...fields, ended: fields['at'], endRecord: Number(index) })
          begun.delete(id)
        } else others += otherLine(Number(index), fields)
      }
      return { requests, others }
    },
    rest() {
      const lines = [...begun.values()].map((fields) => requestLine({ ...fields, outcome: 'open' }))
      begun.clear()
      return lines.join('')
    },
  }
}

function requestLine(fields: Fields): string {
  return csvLine(requestColumns.map((column) => cell(fields[column])))
}

function otherLine(index: number, { at, type, team, v: _, clock, ...more }: Fields): string {
  const details = Object.entries({ ...more, ...(clock === 'ok' ? {} : { clock }) }).filter(([, value]) => value !== '')
  return csvLine([cell(at), cell(type), cell(team), details.map(([name, value]) => `${name}=${String(cell(value))}`).join(' '), index])
}

function cell(value: unknown): string | number | boolean {
  if (value === undefined) return ''
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : JSON.stringify(value)
}
