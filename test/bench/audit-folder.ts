import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { encodeRecord } from '../../services/audit/records/record.ts'
import { beginOf, timeOf } from '../../services/audit/test-support/example-records.ts'
import { openTestLog } from '../../services/audit/test-support/open-test-log.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { leafHashes } from '../../services/audit/tlog/merkle.ts'
import { median, percentile } from './statistics.ts'

/**
 * How fast records become durable in a folder, through the sequencer and SQLite, with so many callers that each append one record, wait
 * for it, and append the next; against the bare limit of the same disk: one thread that writes the bytes of as many records and syncs
 * them (fdatasync), again and again, once with bytes that are there, once with records that it encodes and hashes into a tree first. In turns, on
 * one file system. `--folder` chooses it; `--quick`: one round of a second each.
 */
const { values } = parseArgs({ options: { folder: { type: 'string', default: tmpdir() }, quick: { type: 'boolean', default: false } } })
const [rounds, roundMs] = values.quick ? [1, 500] : [5, 2000]
const home = mkdtempSync(join(values.folder, 'intramuros-bench-folder-'))
const record = beginOf('0b9ce2a0-4000-4000-8000-00000000abcd', { model: 'smollm2-135m-instruct', modelDigest: 'a'.repeat(64), team: 'cardiology', parameters: { maxTokens: 256 } })
const bytes = encodeRecord({ v: 1, at: timeOf(0), clock: 'ok', ...record })

interface Figures {
  /** Records. */
  perSecond: number
  /** Of a record, from its append to its acknowledgement, in milliseconds. */
  p50: number
  p99: number
  /** Of this process and its threads, in microseconds a record. */
  cpu: number
}

async function appends(waiting: number): Promise<Figures> {
  const times: number[] = []
  const [begun, cpu] = [performance.now(), process.cpuUsage()]
  const lane = async (): Promise<void> => {
    while (performance.now() - begun < roundMs) {
      const start = performance.now()
      await log.append([record])
      times.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: waiting }, lane))
  return figuresOf(times, { count: times.length, begun, cpu })
}

function bareLoop(waiting: number, make: (waiting: number) => readonly Uint8Array[]): Figures {
  const fd = openSync(join(home, 'bare'), 'a', 0o600)
  const times: number[] = []
  const [begun, cpu] = [performance.now(), process.cpuUsage()]
  while (performance.now() - begun < roundMs) {
    const start = performance.now()
    const group = Buffer.concat(make(waiting))
    for (let at = 0; at < group.length; ) at += writeSync(fd, group, at)
    fdatasyncSync(fd)
    times.push(performance.now() - start)
  }
  closeSync(fd)
  rmSync(join(home, 'bare'))
  return figuresOf(times, { count: times.length * waiting, begun, cpu })
}

const ready = (waiting: number): Uint8Array[] => Array.from({ length: waiting }, () => bytes)

let edge = emptyEdge
function made(waiting: number): Uint8Array[] {
  const entries = Array.from({ length: waiting }, (_, at) => encodeRecord({ v: 1, at: timeOf(at), clock: 'ok', ...record }))
  edge = extendEdge(edge, leafHashes(entries)).edge
  edgeRoot(edge)
  return entries
}

function figuresOf(times: readonly number[], { count, begun, cpu }: { count: number; begun: number; cpu: NodeJS.CpuUsage }): Figures {
  const { user, system } = process.cpuUsage(cpu)
  return { perSecond: count / ((performance.now() - begun) / 1000), p50: percentile(times, 0.5), p99: percentile(times, 0.99), cpu: (user + system) / count }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

const log = await openTestLog(home)
try {
  await appends(64) // compiled, and the WAL at its size
  print(`records of ${bytes.length} bytes; medians of ${rounds} rounds of ${roundMs} ms in turn with the bare loop; in ${values.folder}`)
  print('waiting | log: records/s, p50 ms, p99 ms, µs of CPU a record | bare: records/s, p50 ms, p99 ms | log ÷ bare: time a record, p50, p99 | bare with records made: records/s, p50 ms, p99 ms | log ÷ that')
  for (const waiting of [1, 16, 64, 256]) {
    const ours: Figures[] = []
    const bare: Figures[] = []
    const making: Figures[] = []
    for (let round = 0; round < rounds; round += 1) {
      bare.push(bareLoop(waiting, ready))
      ours.push(await appends(waiting))
      making.push(bareLoop(waiting, made))
    }
    const middle = (all: readonly Figures[], of: keyof Figures): number => median(all.map((one) => one[of]))
    const ratios = (limit: readonly Figures[]): string =>
      [middle(limit, 'perSecond') / middle(ours, 'perSecond'), middle(ours, 'p50') / middle(limit, 'p50'), middle(ours, 'p99') / middle(limit, 'p99')].map((ratio) => ratio.toFixed(2)).join(', ')
    const shown = (all: readonly Figures[]): string => `${middle(all, 'perSecond').toFixed(0)}, ${middle(all, 'p50').toFixed(2)}, ${middle(all, 'p99').toFixed(2)}`
    print(`${waiting} | ${shown(ours)}, ${middle(ours, 'cpu').toFixed(1)} | ${shown(bare)} | ${ratios(bare)} | ${shown(making)} | ${ratios(making)}`)
  }
} finally {
  await log.close()
  rmSync(home, { recursive: true, force: true })
}
