import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import { verifyFolder } from '../../../services/audit/verify/verify-folder.ts'
import { recordsIn } from '../../support/records.ts'

export interface Appender {
  process: ChildProcess
  /** What it has said so far; complete once `ended` resolves. */
  said: string[]
  says(what: (said: string[]) => boolean): Promise<void>
  /** Its exit status, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>
}

/** Starts append-audit.ts, behind `prefix` on the command line, with modules of this folder loaded first. */
export function appendTo(home: string, { prefix = [], preload = [], limitMs = 1000, most = Infinity }: { prefix?: string[]; preload?: string[]; limitMs?: number; most?: number } = {}): Appender {
  const script = join(import.meta.dirname, 'append-audit.ts')
  const imports = preload.flatMap((name) => ['--import', join(import.meta.dirname, name)])
  const [command, ...args] = [...prefix, process.execPath, ...imports, script, home, String(limitMs), String(most)]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  const said: string[] = []
  const waiting: { what: (said: string[]) => boolean; resolve: () => void }[] = []
  createInterface(child.stdout).on('line', (line) => {
    said.push(line)
    for (const { what, resolve } of waiting) if (what(said)) resolve()
  })
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => resolve(signal ?? status ?? -1))
  })
  const gone = ended.then((status) => {
    throw new Error(`the appender has ended with ${status}:\n${said.slice(-5).join('\n')}`)
  })
  gone.catch(() => undefined)
  return {
    process: child,
    said,
    says: (what) => (what(said) ? Promise.resolve() : Promise.race([new Promise<void>((resolve) => waiting.push({ what, resolve })), gone])),
    ended,
  }
}

export function acknowledgedBy(said: readonly string[]): Map<number, string> {
  const acknowledged = new Map<number, string>()
  for (const line of said) {
    const [, index, name = ''] = /^(\d+) (.+)$/.exec(line) ?? []
    if (index !== undefined) acknowledged.set(Number(index), name)
  }
  return acknowledged
}

export function refusedBy(said: readonly string[]): string[] {
  return said.flatMap((line) => /^refused (.+)$/.exec(line)?.[1] ?? [])
}

/** Checks the whole log, and that each acknowledged record stands where it was said to. */
export async function expectWhole(home: string, acknowledged: ReadonlyMap<number, string>): Promise<number> {
  const vkey = await readFile(join(home, 'audit-key/log.pub'), 'utf8').then((text) => text.trim(), () => undefined)
  const result = await verifyFolder(join(home, 'audit'), vkey === undefined ? {} : { vkey })
  expect(result, result.ok ? '' : result.message).toMatchObject({ ok: true })
  const records = await recordsIn(join(home, 'audit'))
  for (const [index, name] of acknowledged) expect(records[index]?.['instance'], `record ${index}`).toBe(name)
  return records.length
}
