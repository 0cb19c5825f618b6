import type { Command } from 'commander'
import { registerAuditExport } from './audit-export.ts'
import type { ReadingContext } from './audit-options.ts'
import { registerAuditQuery } from './audit-query.ts'
import { registerAuditTail } from './audit-tail.ts'

/** Adds `audit query|tail|export` to `audit`. */
export function registerAuditReading(audit: Command, context: ReadingContext): void {
  registerAuditQuery(audit, context)
  registerAuditTail(audit, context)
  registerAuditExport(audit, context)
}
