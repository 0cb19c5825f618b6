import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openLogIndex, type LogIndex } from '../../services/audit/index/log-index.ts'
import type { RequestQuery } from '../../services/audit/index/query.ts'
import { openFolderStore } from '../../services/audit/store/folder/folder-store.ts'
import type { LogStore } from '../../services/audit/store/store.ts'
import { edgeRoot, emptyEdge, extendEdge } from '../../services/audit/tlog/edge.ts'
import { leafHashes } from '../../services/audit/tlog/merkle.ts'
import { verifyFolder } from '../../services/audit/verify/verify-folder.ts'
import { createMonth, monthStart } from './audit-month.ts'
import { median, percentile } from './statistics.ts'

/**
 * A log of ten million records in a folder, in full groups: how fast it is written, checked and indexed, how long questions over it take, what
 * memory and disk all that needs as it grows. Store, index and check have the threads that they have in the service; memory is that of
 * this process with all of them. `--millions 10`, `--folder /var/tmp`; `--quick`: 200,000 records. Takes 6 GB of disk.
 */
const { values } = parseArgs({ options: { millions: { type: 'string', default: '10' }, folder: { type: 'string', default: tmpdir() }, quick: { type: 'boolean', default: false } } })
const records = values.quick ? 200_000 : Number(values.millions) * 1_000_000
const step = Math.min(1_000_000, records / 2)
const home = mkdtempSync(join(values.folder, 'intramuros-bench-large-'))
const folder = join(home, 'audit')
const group = 4096
const month = createMonth(records)
const quiet = (): void => undefined

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

const number = (value: number): string => Math.round(value).toLocaleString('en')

/** Counts the time and the CPU time of this process, with all its threads. */
function stopwatch(): { told: (count: number) => string } {
  const [begun, cpu] = [performance.now(), process.cpuUsage()]
  return {
    told(count) {
      const { user, system } = process.cpuUsage(cpu)
      return `${number(count / ((performance.now() - begun) / 1000))} records/s (${number(count / ((user + system) / 1e6))} a second of CPU), memory ${number(process.memoryUsage().rss / 1e6)} MB`
    },
  }
}

async function write(store: LogStore): Promise<void> {
  const watch = stopwatch()
  let edge = emptyEdge
  for (let next = step; edge.size < records; ) {
    const entries = Array.from({ length: Math.min(group, records - edge.size) }, () => month.next())
    const { edge: extended, full } = extendEdge(edge, leafHashes(entries))
    await store.append({ from: { size: edge.size, root: edgeRoot(edge) }, to: { size: extended.size, root: edgeRoot(extended) }, entries, tiles: full })
    edge = extended
    if (edge.size < next) continue
    print(`${number(edge.size)} written, records made included: ${watch.told(edge.size)}, log.sqlite ${number(statSync(join(folder, 'log.sqlite')).size / 1e6)} MB`)
    next += step
  }
}

async function buildIndex(index: LogIndex, file: string): Promise<void> {
  const watch = stopwatch()
  for (let size = step; size <= records; size += step) {
    await index.reached(size, AbortSignal.timeout(3_600_000))
    print(`${number(size)} indexed: ${watch.told(size)}, index.db ${number(statSync(file).size / 1e6)} MB`)
  }
}

const { skewed, random } = month
const queries: Record<string, () => RequestQuery['where']> = {
  'all': () => ({}),
  'a team': () => ({ team: `team-${skewed(40)}` }),
  'a person': () => ({ subject: `person-${skewed(5000)}` }),
  'the person met least': () => ({ subject: 'person-4999' }),
  'a model': () => ({ model: `model-${skewed(12)}` }),
  'failed (1 in 30,000)': () => ({ outcome: 'failed' }),
  'team, model and outcome': () => ({ team: `team-${skewed(40)}`, model: `model-${skewed(12)}`, outcome: 'cancelled' }),
  'nothing matches': () => ({ team: 'team-39', model: 'model-11', outcome: 'failed', error: 'worker_lost', endpoint: 'POST /v1/chat/completions' }),
}

/** Pages of 50, the newest or the oldest first, of all times and of periods, from the first and from anywhere behind it. */
async function measureQueries(index: LogIndex): Promise<void> {
  print(`\n| a page of 50 of ${number(month.began)} requests | rows | p50 ms | p99 ms |\n|---|--:|--:|--:|`)
  for (const [name, where] of Object.entries(queries)) {
    let rows = 0
    const turns = 300
    const times: number[] = []
    for (let turn = 0; turn < turns; turn += 1) {
      const period = turn % 3 === 0 ? {} : { fromMs: monthStart + random() * 15 * 86_400_000, toMs: monthStart + (15 + random() * 15) * 86_400_000 }
      const deep = turn % 4 === 0 ? { after: Math.floor(random() * records) } : {}
      const query: RequestQuery = { where: where(), order: turn % 2 === 0 ? 'newest' : 'oldest', limit: 50, ...period, ...deep }
      times.push(await timed(async () => (rows += (await index.ask('requests', query)).rows.length)))
    }
    print(`| ${name} | ${(rows / turns).toFixed(0)} | ${median(times).toFixed(1)} | ${percentile(times, 0.99).toFixed(1)} |`)
  }
  const others: Record<string, () => Promise<unknown>> = {
    'one request by its id, found': async () => await index.ask('find', (await index.ask('requests', { where: {}, order: 'oldest', limit: 1, after: Math.floor(random() * records * 0.9) })).rows[0]?.requestId ?? ''),
    'one request by its id, not there': async () => await index.ask('find', `no-${random()}`),
    'usage of the month by team': async () => await index.ask('usage', { fromDay: monthStart / 86_400_000, toDay: monthStart / 86_400_000 + 30, by: ['team'] }),
    'usage by team, model and day': async () => await index.ask('usage', { fromDay: monthStart / 86_400_000, toDay: monthStart / 86_400_000 + 30, by: ['team', 'model', 'day'] }),
  }
  for (const [name, ask] of Object.entries(others)) {
    const times: number[] = []
    for (let turn = 0; turn < (name.startsWith('usage') ? 10 : 300); turn += 1) times.push(await timed(ask))
    print(`| ${name} | | ${median(times).toFixed(1)} | ${percentile(times, 0.99).toFixed(1)} |`)
  }
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await run()
  return performance.now() - begun
}

try {
  const openStore = (): Promise<LogStore> => openFolderStore({ folder, lockWaitMs: 0, timeoutMs: 60_000, onTrouble: quiet })
  const store = await openStore()
  await write(store)
  await store.close()

  const checking = stopwatch()
  const result = await verifyFolder(folder)
  if (!result.ok || result.records !== records) throw new Error(`not found whole: ${JSON.stringify(result)}`)
  print(`${number(records)} checked: ${checking.told(records)}`)

  const again = performance.now()
  const stored = await openStore()
  print(`the store opened again in ${(performance.now() - again).toFixed(0)} ms`)
  const file = join(home, 'index.db')
  const index = openLogIndex({ file, store: stored, log: { debug: quiet, info: quiet, warn: quiet, error: quiet } })
  await buildIndex(index, file)
  await measureQueries(index)
  await index.close()
  await stored.close()
} finally {
  rmSync(home, { recursive: true, force: true })
}
