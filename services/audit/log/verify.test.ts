import { rmSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FaultKind } from './fault.ts'
import { decodeLine, encodeLine, type Entry, hashLine, noHash } from './record.ts'
import { verifyLog } from './verify.ts'

let folder: string
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'audit-verify-'))))
afterEach(() => rm(folder, { recursive: true }))

const at = '2026-11-22T21:10:00.123Z'

function begin(requestId: string, requestBytes = 10): Entry {
  return {
    type: 'begin', requestId, instance: 'gateway', team: 'default', keyId: 'key_abc', model: 'm', endpoint: 'POST /v1/chat/completions', stream: true, requestBytes,
  }
}

function end(requestId: string, outputTokens = 3): Entry {
  return {
    type: 'end', requestId, outcome: 'completed', finishReason: 'stop', error: '', inputTokens: 7, outputTokens, responseBytes: 20,
    firstTokenUs: 1, durationUs: 2, worker: '127.0.0.1:1',
  }
}

/** The lines, newlines included, of a chained log. */
function chain(entries: readonly Entry[], from = 0, prev = noHash): string[] {
  const lines: string[] = []
  let last = prev
  entries.forEach((entry, index) => {
    lines.push(`${encodeLine(from + index, at, entry, last)}\n`)
    last = hashLine(lines[index] ?? '')
  })
  return lines
}

interface HeadShape {
  count: number
  closed: boolean
}

function headOf(lines: readonly string[], { count, closed }: HeadShape): string {
  const vouched = lines.slice(0, count)
  const last = vouched.at(-1)
  const head = { count, bytes: vouched.join('').length, hash: last === undefined ? noHash : hashLine(last), closed }
  return `${JSON.stringify(head).padEnd(191)}\n`
}

function write(log: string | Buffer | undefined, head: string | undefined): void {
  for (const [name, content] of [['audit.log', log], ['head.json', head]] as const) {
    if (content === undefined) rmSync(join(folder, name), { force: true })
    else writeFileSync(join(folder, name), content, { encoding: 'latin1', mode: 0o600 })
  }
}

const entry = fc.oneof(
  fc.tuple(fc.nat(20), fc.nat(1e6)).map(([id, bytes]) => begin(`r${id}`, bytes)),
  fc.tuple(fc.nat(20), fc.nat(1e6)).map(([id, tokens]) => end(`r${id}`, tokens)),
  fc.nat(20).map((id): Entry => ({ type: 'end', requestId: `r${id}`, outcome: 'interrupted' })),
)

interface Log {
  lines: string[]
  /** How many of them the head vouches for: all but those a crash kept from it. */
  head: HeadShape
}

const logs = (minLength: number) =>
  fc
    .record({ entries: fc.array(entry, { minLength, maxLength: 12 }), beyond: fc.nat(2), closed: fc.boolean() })
    .map(({ entries, beyond, closed }): Log => ({
      lines: chain(entries),
      head: { closed, count: closed ? entries.length : Math.max(minLength, entries.length - beyond) },
    }))

/** The first place at which two logs differ: what verify has to name. */
function firstDifference(before: readonly string[], after: string): number {
  const lines = after.split(/(?<=\n)/)
  const place = before.findIndex((line, index) => line !== lines[index])
  return place === -1 ? before.length : place
}

async function expectFault({ lines, head }: Log, mutated: string | Buffer, kinds: FaultKind[]): Promise<void> {
  const text = mutated.toString('latin1')
  fc.pre(text !== lines.join(''))
  write(Buffer.from(text, 'latin1'), headOf(lines, head))
  const result = await verifyLog(folder)
  expect(result).toMatchObject({ ok: false })
  if (result.ok) return
  expect(result.position, result.message).toBe(firstDifference(lines, text))
  expect(kinds, result.message).toContain(result.kind)
  expect(result.message).toMatch(new RegExp(`\\b${result.position}\\b`))
}

function splice(lines: readonly string[], place: number, remove: number, ...add: string[]): string {
  return lines.toSpliced(place, remove, ...add).join('')
}

const many = { numRuns: 200 }

/** A place among the records that the head vouches for. */
const vouched = (fraction: number, { head }: Log): number => Math.min(head.count - 1, Math.floor(fraction * head.count))
const fraction = fc.double({ min: 0, max: 1, noNaN: true })

describe('a log that nobody touched', () => {
  test('verifies, whether closed, left by a crash, or with a record torn', async () => {
    await fc.assert(
      fc.asyncProperty(logs(0), fraction, async ({ lines, head }, cut) => {
        const torn = head.closed ? '' : (chain([begin('torn')], lines.length, 'f'.repeat(64))[0] ?? '')
        const tail = torn.slice(0, Math.floor(cut * torn.length * 0.99))
        write(lines.join('') + tail, headOf(lines, head))
        expect(await verifyLog(folder)).toMatchObject({ ok: true, records: lines.length, beyondHead: lines.length - head.count, tornBytes: tail.length })
      }),
      many,
    )
  })

  test('is told with its open and its interrupted requests', async () => {
    const lines = chain([begin('a'), begin('b'), begin('c'), end('a'), { type: 'end', requestId: 'b', outcome: 'interrupted' }])
    write(lines.join(''), headOf(lines, { count: 5, closed: true }))
    expect(await verifyLog(folder)).toEqual({
      ok: true, records: 5, bytes: lines.join('').length, open: 1, interrupted: 1, beyondHead: 0, tornBytes: 0,
    })
  })

  test('may end in blocks that a power failure kept from the disk', async () => {
    const lines = chain([begin('a'), begin('b')])
    write(`${lines.join('')}${'\0'.repeat(4096)}"stream":true}\n`, headOf(lines, { count: 2, closed: false }))
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 2, tornBytes: 4096 + 15 })
  })
})

describe('names the first bad record when', () => {
  test('any bit is flipped', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, fc.nat(7), async (log, where, bit) => {
        const bytes = Buffer.from(log.lines.join(''), 'latin1')
        const size = log.lines.slice(0, log.head.count).join('').length
        const offset = Math.min(size - 1, Math.floor(where * size))
        bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
        await expectFault(log, bytes, ['changed', 'malformed'])
      }),
      { numRuns: 500 },
    )
  })

  test('a record is rewritten', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, entry, async (log, where, other) => {
        const place = vouched(where, log)
        const prev = place === 0 ? noHash : hashLine(log.lines[place - 1] ?? '')
        await expectFault(log, splice(log.lines, place, 1, ...chain([other], place, prev)), ['changed'])
      }),
      many,
    )
  })

  test('a record gets another number', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, fc.nat(15), async (log, where, seq) => {
        const place = vouched(where, log)
        await expectFault(log, splice(log.lines, place, 1, log.lines[place]?.replace(`"seq":${place}`, `"seq":${seq}`) ?? ''), ['changed'])
      }),
      many,
    )
  })

  test('a record and all that follow are rewritten to match', async () => {
    const lines = chain([begin('a'), begin('b'), end('a'), end('b')])
    const forged = chain([begin('a'), begin('x'), end('a'), end('b')])
    write(forged.join(''), headOf(lines, { count: 4, closed: false }))
    expect(await verifyLog(folder)).toMatchObject({ ok: false, kind: 'changed', position: 3 })
  })

  test('records are removed', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, fc.integer({ min: 1, max: 3 }), async (log, where, count) => {
        await expectFault(log, splice(log.lines, vouched(where, log), count), ['removed'])
      }),
      many,
    )
  })

  test('a line of the log is copied to another place', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, fraction, async (log, from, to) => {
        await expectFault(log, splice(log.lines, vouched(to, log), 0, log.lines[vouched(from, log)] ?? ''), ['added'])
      }),
      many,
    )
  })

  test('a line is overwritten with a copy of another', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, fraction, async (log, from, to) => {
        await expectFault(log, splice(log.lines, vouched(to, log), 1, log.lines[vouched(from, log)] ?? ''), ['changed', 'removed', 'added'])
      }),
      many,
    )
  })

  test('garbage is put between', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, fc.string({ unit: 'binary-ascii', maxLength: 40 }), async (log, where, text) => {
        await expectFault(log, splice(log.lines, vouched(where, log), 0, `${text.replaceAll('\n', '')}\n`), ['added'])
      }),
      many,
    )
  })

  test('a forged record is put between, chained to the one before it', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, entry, async (log, where, other) => {
        const place = vouched(where, log)
        const prev = place === 0 ? noHash : hashLine(log.lines[place - 1] ?? '')
        await expectFault(log, splice(log.lines, place, 0, ...chain([other], place, prev)), ['added'])
      }),
      many,
    )
  })

  test('two records are swapped', async () => {
    await fc.assert(
      fc.asyncProperty(logs(2), fraction, fraction, async (log, one, other) => {
        const [a, b] = [vouched(one, log), vouched(other, log)].toSorted((x, y) => x - y)
        if (a === undefined || b === undefined) return
        const swapped = log.lines.with(a, log.lines[b] ?? '').with(b, log.lines[a] ?? '')
        await expectFault(log, swapped.join(''), ['reordered'])
      }),
      many,
    )
  })

  test('a record is moved', async () => {
    await fc.assert(
      fc.asyncProperty(logs(2), fraction, fraction, async (log, from, to) => {
        const line = log.lines[vouched(from, log)] ?? ''
        const moved = log.lines.toSpliced(vouched(from, log), 1).toSpliced(vouched(to, log), 0, line)
        await expectFault(log, moved.join(''), ['reordered'])
      }),
      many,
    )
  })

  test('the log is cut at any byte that the head vouches for', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fraction, async (log, where) => {
        const size = log.lines.slice(0, log.head.count).join('').length
        await expectFault(log, log.lines.join('').slice(0, Math.min(size - 1, Math.floor(where * size))), ['removed', 'malformed'])
      }),
      many,
    )
  })

  test('anything is appended after the log was closed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 8 }), entry, fc.boolean(), fc.string({ unit: 'binary-ascii', minLength: 1 }), async (entries, other, chained, text) => {
        const lines = chain(entries)
        const last = lines.at(-1)
        const prev = last === undefined ? noHash : hashLine(last)
        const more = chained ? chain([other], lines.length, prev).join('') : text
        await expectFault({ lines, head: { count: lines.length, closed: true } }, lines.join('') + more, ['added'])
      }),
      many,
    )
  })

  test('the head is changed', async () => {
    await fc.assert(
      fc.asyncProperty(logs(1), fc.nat(191), fc.nat(7), async ({ lines, head }, offset, bit) => {
        const bytes = Buffer.from(headOf(lines, { ...head, count: lines.length }), 'latin1')
        bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
        write(lines.join(''), bytes.toString('latin1'))
        expect(await verifyLog(folder)).toMatchObject({ ok: false })
      }),
      { numRuns: 60 }, // a head that can't be read is tried again for some milliseconds
    )
  })

  test('a file is gone or empty', async () => {
    const lines = chain([begin('a'), end('a')])
    write(undefined, headOf(lines, { count: 2, closed: false }))
    expect(await verifyLog(folder)).toMatchObject({ ok: false, kind: 'removed', position: 0 })
    write('', headOf(lines, { count: 2, closed: true }))
    expect(await verifyLog(folder)).toMatchObject({ ok: false, kind: 'removed', position: 0, message: 'Records 0 to 1 were removed: the log ends before.' })
    write(lines.join(''), undefined)
    expect(await verifyLog(folder)).toMatchObject({ ok: false, kind: 'removed', position: 2, goodRecords: 2 })
  })

  test('a line never ends', async () => {
    const lines = chain([begin('a'), begin('b')])
    write(`${lines[0]}${'x'.repeat(3_000_000)}\n${lines[1]}`, headOf(lines, { count: 2, closed: false }))
    expect(await verifyLog(folder)).toMatchObject({ ok: false, kind: 'added', position: 1 })
  })
})

test('an empty folder has no log to verify', async () => {
  write(undefined, undefined)
  await expect(verifyLog(folder)).rejects.toMatchObject({ code: 'NOT_FOUND', reason: 'no_log' })
  await expect(verifyLog(join(folder, 'nowhere'))).rejects.toMatchObject({ reason: 'no_log' })
})

test('the log of a folder that may only be read verifies', async () => {
  const lines = chain([begin('a')])
  write(lines.join(''), headOf(lines, { count: 1, closed: true }))
  await chmod(folder, 0o500)
  try {
    expect(await verifyLog(folder)).toMatchObject({ ok: true, records: 1 })
  } finally {
    await chmod(folder, 0o700)
  }
})

test('logs that the tests write are made of real lines', () => {
  expect(decodeLine((chain([begin('a')])[0] ?? '').trimEnd())).toMatchObject({ seq: 0, type: 'begin', requestId: 'a' })
})
