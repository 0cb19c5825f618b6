import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Command, CommanderError } from 'commander'
import { KeyError, type ReceiptFault, type VerifiedReceipt, verifyReceipt } from '../../audit/verify-receipt.ts'
import { misused } from './context.ts'

/** `audit verify --receipt`: needs no platform and no log, only the key. */
export function verifyReceiptFile(command: Command, file: string, vkey: string | undefined, { json, report }: { json?: true; report?: string }, out: NodeJS.WritableStream): void {
  if (vkey === undefined) return misused(command, 'a receipt is checked with the public key of the log: give it with --key.')
  let result: VerifiedReceipt | ReceiptFault
  try {
    result = ofReport(verifyReceipt(readFileSync(file, 'utf8'), vkey), report)
  } catch (thrown) {
    if (thrown instanceof KeyError) misused(command, `--key is not the public key of a log: ${thrown.message}.`)
    if (!(thrown instanceof Error && 'syscall' in thrown && 'code' in thrown)) throw thrown
    return misused(command, `the receipt in ${file}${report === undefined ? '' : `, or the report in ${report},`} cannot be read: ${String(thrown.code)}`)
  }
  out.write(json === true ? `${JSON.stringify({ receipt: file, ...result })}\n` : verdict(file, result))
  if (!result.ok) throw new CommanderError(1, 'intramuros.tampered', result.message)
}

/** Of what was told about an isolation check the ledger keeps the digest alone. */
function ofReport(result: VerifiedReceipt | ReceiptFault, report: string | undefined): VerifiedReceipt | ReceiptFault {
  if (report === undefined || !result.ok) return result
  const digest = createHash('sha256').update(readFileSync(report)).digest('hex')
  if (result.record.type === 'isolation.checked' && result.record.report === digest) return result
  return { ok: false, kind: 'record', message: `It is of something else than the report in ${report}, whose SHA-256 is ${digest}.` }
}

function verdict(file: string, result: VerifiedReceipt | ReceiptFault): string {
  if (!result.ok) return `The receipt in ${file} does not hold.\n${result.message}\n`
  const { origin, index, size, record } = result
  return `The receipt in ${file} holds: record ${index} of the log ${origin}, which then had ${size} entries, is\n${JSON.stringify(record, undefined, 2)}\n`
}
