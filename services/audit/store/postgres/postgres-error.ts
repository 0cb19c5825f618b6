import { DatabaseError } from 'pg'
import { StoreError } from '../store.ts'

/** What PostgreSQL, or the way to it, failed with. */
export class PostgresError extends StoreError {
  /** Whether it may go away by itself: a database that starts or fails over, a network that is down. Else somebody has to do something. */
  readonly passing: boolean

  constructor(message: string, { stored, passing }: { stored: 'no' | 'unknown'; passing: boolean }) {
    super(message, { stored })
    this.passing = passing
  }
}

/** Nothing was sent yet but who we are. */
export function connectError(thrown: unknown, place: string): PostgresError {
  if (thrown instanceof PostgresError) return thrown
  if (thrown instanceof DatabaseError) {
    const hint = hints[thrown.code ?? ''] ?? ''
    return new PostgresError(`PostgreSQL at ${place} refuses the connection: ${thrown.message} (${thrown.code})${hint}.`, { stored: 'no', passing: isPassing(thrown.code ?? '') })
  }
  const reason = reasonOf(thrown)
  return new PostgresError(`No connection to PostgreSQL at ${place}: ${reason}.`, { stored: 'no', passing: passingReasons.test(reason) })
}

/** A statement was sent: whether it took effect is known only when the server says that it failed and goes on. */
export function statementError(thrown: unknown, what: string): PostgresError {
  if (thrown instanceof PostgresError) return thrown
  if (!(thrown instanceof DatabaseError)) return new PostgresError(`PostgreSQL did not answer: ${what}: ${reasonOf(thrown)}.`, { stored: 'unknown', passing: true })
  const code = thrown.code ?? ''
  // Its detail, and in these classes its message, may repeat values: they are not shown, and neither is the error itself a cause.
  const message = tellingClasses.test(code) ? `${thrown.message} (${code})` : `error ${code}`
  return new PostgresError(`PostgreSQL failed: ${what}: ${message}${hints[code] ?? ''}.`, { stored: endsTheSession.test(code) ? 'unknown' : 'no', passing: isPassing(code) })
}

/** Connection lost, no resources, locked or still in use, ended or cancelled by the operator, read-only while it fails over. */
function isPassing(code: string): boolean {
  return /^(08|40|53|55P03|57|25006)/.test(code)
}

/** After these the connection is gone, or nobody knows what state the server was in. */
const endsTheSession = /^(08|57P|58|XX|F0)/

/** Resources, operators, the system underneath, rights, what is there: messages of the server about itself. */
const tellingClasses = /^(08|25|3D|3F|40|42501|42P01|53|55|57|58|XX)/

const hints: Readonly<Record<string, string>> = {
  '28P01': ': is audit.postgres.passwordFile right?',
  '42501': ': see the rights that docs/audit-postgres.md lists',
  '42P01': ': the audit service that writes the log makes its tables when it starts',
  '42704': ': PostgreSQL 14 or later is needed',
}

const passingReasons = /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOENT|ENOTFOUND|EAI_AGAIN|timeout|Connection terminated)/

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'an unknown error'
  if (thrown instanceof AggregateError) return reasonOf(thrown.errors[0])
  return 'code' in thrown && typeof thrown.code === 'string' ? (thrown.code.startsWith('E') && /^[A-Z_0-9]+$/.test(thrown.code) && !thrown.code.startsWith('ERR_') ? thrown.code : `${thrown.code}: ${thrown.message}`) : thrown.message
}
