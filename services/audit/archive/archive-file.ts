import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** Names of the files of an archive; docs/audit.md tells what is in them. */
export const archiveFiles = { about: 'archive.json', records: 'records.jsonl', requests: 'requests.csv', others: 'others.csv', checkpoint: 'checkpoint', vkey: 'vkey' } as const

const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

const About = Type.Object({
  format: Type.Literal('intramuros-audit-archive'),
  version: Type.Literal(1),
  /** Entries of the tree that the checkpoint is of. */
  size: count,
  /** Records of `team`, all where it is empty, and of the time, with an index from `fromIndex` up to, not with, `toIndex`. */
  fromIndex: count,
  toIndex: count,
  team: Type.String(),
  from: Type.String(),
  to: Type.String(),
  records: count,
})

export type About = Static<typeof About>

const about = Compile(About)

/** Undefined for what no archive of this version has. */
export function parseAbout(text: string): About | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return about.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

const lineStart = '{"index":'
const recordStart = ',"record":'

/** A record behind its index, its bytes as they are in the log. */
export function recordLine(index: number, record: string): string {
  return `${lineStart}${index}${recordStart}${record}}\n`
}

/** Undefined for a line that recordLine would not write. */
export function parseRecordLine(line: string): { index: number; record: string } | undefined {
  const at = line.indexOf(recordStart)
  const digits = line.slice(lineStart.length, at)
  if (!line.startsWith(lineStart) || at < 0 || !line.endsWith('}') || !/^(0|[1-9][0-9]{0,15})$/.test(digits)) return undefined
  return { index: Number(digits), record: line.slice(at + recordStart.length, -1) }
}
