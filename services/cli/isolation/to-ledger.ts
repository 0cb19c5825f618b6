import { AuditService, IsolationOutcome } from '../../../proto/gen/intramuros/v1/audit.ts'
import type { Identity } from '../../shared/tls/identity.ts'
import { connectedLane } from './ask-probe.ts'
import { countOf, digestOf, problemCounts, type Report } from './report.ts'

const outcomes: Readonly<Record<Report['outcome'], IsolationOutcome>> = { held: IsolationOutcome.HELD, violated: IsolationOutcome.VIOLATED, unproven: IsolationOutcome.UNPROVEN }
const [connectMs, answerMs] = [10_000, 30_000]
/** As many as a record takes. */
const mostProblems = 32

/** Has the ledger record what came of a check; resolves with the receipt of that record. Throws an Error when it can't. */
export async function recordInLedger({ report, bytes, address, identity }: { report: Report; bytes: string; address: string; identity: Identity }): Promise<string> {
  const lane = await connectedLane({ service: AuditService, peer: 'audit', address, identity, limitMs: connectMs })
  const call = { requestId: `isolation-${report.id}`, signal: new AbortController().signal, timeoutMs: answerMs }
  try {
    const components = [...new Set(report.probes.map(({ component }) => component))]
    const value = {
      instance: report.collector,
      outcome: outcomes[report.outcome],
      components,
      attempts: countOf(report),
      violations: countOf(report, 'violated'),
      broken: countOf(report, 'broken'),
      untried: countOf(report, 'untried'),
      report: digestOf(bytes),
      problems: problemCounts(report).slice(0, mostProblems),
    }
    const { index } = await lane.unary(AuditService.record, { id: call.requestId, event: { $case: 'isolationChecked', value } }, call)
    if (index === undefined) throw new Error('The ledger did not tell where it recorded the check.')
    const { proof } = await lane.unary(AuditService.proveIsolation, { index }, call)
    return proof
  } finally {
    lane.close()
  }
}
