import type { Command } from 'commander'
import type { AuditReader } from '../audit-reader.ts'
import { misused } from './context.ts'

/** What commands that read the ledger get from the program. */
export interface ReadingContext {
  /** `folder` is that of a log to read where no platform runs. Throws a StartError. */
  openReader(folder: string | undefined): Promise<AuditReader>
  out: NodeJS.WritableStream
  err: NodeJS.WritableStream
}

/** Opens the reader for a command and closes it after it. */
export async function withReader<Result>({ openReader }: ReadingContext, folder: string | undefined, body: (reader: AuditReader) => Promise<Result>): Promise<Result> {
  const reader = await openReader(folder)
  try {
    return await body(reader)
  } finally {
    await reader.close()
  }
}

/** The option that reads a log's folder. */
export const folderOption = ['--folder <folder>', "read a log's folder, or a copy, where no platform runs; such a read is not recorded"] as const

export const timeHelp = '2026-11-01, or 2026-11-01T08:30:00Z; UTC'

/** Milliseconds of a day or a time in UTC. */
export function timeOption(command: Command, name: string, text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined
  const day = /^\d{4}-\d{2}-\d{2}$/.test(text)
  const ms = day || /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z$/.test(text) ? Date.parse(text) : Number.NaN
  // Date.parse takes February 30 in some forms.
  if (Number.isNaN(ms) || ms < 0 || new Date(ms).toISOString().slice(0, 10) !== text.slice(0, 10)) misused(command, `${name} takes a day or a time in UTC: ${timeHelp}.`)
  return BigInt(ms)
}

export function countOption(command: Command, name: string, text: string, least: number, most: number): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= least && number <= most)) misused(command, `${name} takes a number from ${least} to ${most}.`)
  return number
}

/** A message as JSON: whole numbers are numbers, what is empty is left out of nothing. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? Number(member) : member))
}
