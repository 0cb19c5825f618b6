import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type IndexDatabase, openIndexDatabase } from '../../services/audit/index/index-database.ts'
import type { RequestQuery } from '../../services/audit/index/query.ts'
import { encodeBundle } from '../../services/audit/tlog/bundle.ts'
import { median, percentile } from './statistics.ts'

/**
 * The index of the audit log: how fast it is made, how long a page takes over millions of requests, and whether its memory stays flat.
 * `node test/bench/audit-index.ts [--millions 10] [--folder /var/tmp]`. Takes 1 GB of disk for five million requests.
 */
const { values } = parseArgs({ options: { millions: { type: 'string', default: '10' }, folder: { type: 'string', default: tmpdir() }, quick: { type: 'boolean', default: false } } })
const records = values.quick ? 200_000 : Number(values.millions) * 1_000_000
const batch = 4096
const folder = mkdtempSync(join(values.folder, 'intramuros-bench-index-'))
const file = join(folder, 'index.db')

// A month of a house of 40 teams and 5,000 keys, some used far more than others. Requests take up to 2,000 others' time.
const start = Date.UTC(2026, 10, 1)
const spacingMs = (30 * 86_400_000) / records
let seed = 1
function random(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}
const skewed = (count: number): number => Math.floor(count * random() ** 3)

interface Under {
  id: string
  team: string
  endsAt: number
}

const under: Under[] = []
let made = 0
let began = 0

function nextRecord(): Buffer {
  const at = new Date(start + made * spacingMs).toISOString()
  made += 1
  const place = under.length > 0 && (under.length >= 1000 || random() < 0.5) ? Math.floor(random() * under.length) : -1
  const ending = place < 0 ? undefined : under[place]
  if (ending === undefined) {
    const team = `team-${skewed(40)}`
    const id = `${hex(began)}-${hex(seed)}-4000-8000-${hex(began * 7)}abcd`
    under.push({ id, team, endsAt: made })
    began += 1
    const key = skewed(5000)
    return Buffer.from(
      `{"adapter":"","at":"${at}","auth":"api_key","clock":"ok","endpoint":"POST /v1/chat/completions","gatewayVersion":"0.1.0","instance":"gateway","keyId":"key_${key}","model":"model-${skewed(12)}","modelDigest":"","parameters":{},"priority":"interactive","requestBytes":100,"requestId":"${id}","stream":true,"subject":"person-${key}","team":"${team}","type":"request.begin","v":1}`,
      'latin1',
    )
  }
  under[place] = under[under.length - 1] ?? ending
  under.pop()
  const outcome = random() < 0.97 ? 'completed' : random() < 0.999 ? 'cancelled' : 'failed'
  return Buffer.from(
    `{"at":"${at}","cachedTokens":10,"clock":"ok","durationUs":900000,"error":"${outcome === 'failed' ? 'worker_lost' : ''}","finishReason":"stop","firstTokenUs":80000,"inputTokens":120,"outputTokens":60,"outcome":"${outcome}","redactions":[],"requestId":"${ending.id}","responseBytes":300,"team":"${ending.team}","type":"request.end","v":1,"worker":"10.0.0.1:7000","workerUs":700000,"workerVersion":"0.1.0"}`,
    'latin1',
  )
}

function hex(number: number): string {
  return (number >>> 0).toString(16).padStart(8, '0')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

const queries: Record<string, () => RequestQuery['where']> = {
  'all, newest first': () => ({}),
  'one team': () => ({ team: `team-${skewed(40)}` }),
  'one person': () => ({ subject: `person-${skewed(5000)}` }),
  'the person met least': () => ({ subject: 'person-4999' }),
  'failed (1 in 30,000)': () => ({ outcome: 'failed' }),
  'team, model and outcome': () => ({ team: `team-${skewed(40)}`, model: `model-${skewed(12)}`, outcome: 'cancelled' }),
  'nothing matches': () => ({ team: 'team-39', model: 'model-11', outcome: 'failed', error: 'worker_lost', endpoint: 'POST /v1/chat/completions' }),
}

/** Pages of 50 from places all over the month. */
function measureQueries(index: IndexDatabase): void {
  print(`| page of 50 of ${began.toLocaleString('en')} requests | rows | median ms | p99 ms |\n|---|--:|--:|--:|`)
  for (const [name, where] of Object.entries(queries)) {
    const times: number[] = []
    let rows = 0
    for (let turn = 0; turn < 300; turn += 1) {
      const order = turn % 2 === 0 ? 'newest' : 'oldest'
      const period = turn % 3 === 0 ? {} : { fromMs: start + random() * 15 * 86_400_000, toMs: start + (15 + random() * 15) * 86_400_000 }
      const began = performance.now()
      const page = index.requests({ where: where(), order, limit: 50, ...period })
      times.push(performance.now() - began)
      rows += page.rows.length
    }
    print(`| ${name} | ${(rows / 300).toFixed(0)} | ${median(times).toFixed(2)} | ${percentile(times, 0.99).toFixed(2)} |`)
  }
}

try {
  const index = openIndexDatabase(file)
  let applyMs = 0
  let applyCpuMs = 0
  let pausing = 0
  for (let taken = 0; taken < records; taken += batch) {
    const entries = Array.from({ length: Math.min(batch, records - taken) }, nextRecord)
    const bundle = encodeBundle(entries)
    const [began, cpu] = [performance.now(), process.cpuUsage()]
    index.apply({ first: taken, count: entries.length, bundle })
    const ms = performance.now() - began
    const { user, system } = process.cpuUsage(cpu)
    applyMs += ms
    applyCpuMs += (user + system) / 1000
    pausing = Math.max(pausing, ms)
    if (Math.floor(taken / 1_000_000) !== Math.floor((taken + batch) / 1_000_000) || taken + batch >= records) {
      print(`${(taken + entries.length).toLocaleString('en')} records: ${Math.round((taken + entries.length) / (applyMs / 1000)).toLocaleString('en')}/s (${Math.round((taken + entries.length) / (applyCpuMs / 1000)).toLocaleString('en')} a second of CPU), longest batch ${pausing.toFixed(0)} ms, memory ${(process.memoryUsage().rss / 1e6).toFixed(0)} MB, file ${(statSync(file).size / 1e6).toFixed(0)} MB`)
    }
  }
  measureQueries(index)
  index.close()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
