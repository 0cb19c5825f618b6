/** Calls that change files or make changes durable. */
export const tracedCalls = ['openat', 'pwrite64', 'write', 'ftruncate', 'fsync', 'fdatasync', 'mkdir', 'unlink', 'unlinkat', 'rmdir', 'rename', 'link'] as const
type TracedCall = (typeof tracedCalls)[number]

/** Options of strace whose output readCalls reads: all bytes that were written, in hexadecimal. */
export const straceOptions = ['-f', '-qq', '-y', '-xx', '-s', '4194304', '-e', 'signal=none', '-e', `trace=${tracedCalls.join(',')}`]

/** One system call, twice: where it was entered, and, unless the process died in it, where it had returned. */
export interface TracedMoment {
  call: TracedCall
  /** The same of both. */
  id: number
  at: 'entered' | 'returned'
  /** File of its first argument, or that the call opened, as the process named it. */
  path: string
  /** Another path: where a rename or link leads. */
  target: string
  flags: string
  bytes: Buffer
  /** Offset of a pwrite64, length of an ftruncate. */
  number: number
  fd: number
  /** The result; -1 for an error. Only once it has returned. */
  result: number
}

/** Reads what strace wrote with these options, in the order in which things happened. Failed calls have changed nothing and are left out. */
export function readCalls(trace: string): TracedMoment[] {
  const moments: TracedMoment[] = []
  const under = new Map<string, { moment: TracedMoment; text: string }>()
  let id = 0
  for (const line of trace.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    const before = under.get(thread)
    if (resumed !== null && before !== undefined) {
      under.delete(thread)
      const text = before.text + (resumed[1] ?? '')
      const moment = { ...parse(text, before.moment.id), at: 'returned' as const }
      moments.push(moment)
      continue
    }
    if (!/^\w+\(/.test(rest)) continue
    id += 1
    const unfinished = rest.endsWith(' <unfinished ...>')
    const text = unfinished ? rest.slice(0, -' <unfinished ...>'.length) : rest
    const moment = parse(text, id)
    moments.push({ ...moment, at: 'entered' })
    if (unfinished) under.set(thread, { moment, text })
    else moments.push({ ...moment, at: 'returned' })
  }
  const failed = new Set(moments.filter(({ at, result }) => at === 'returned' && result < 0).map((moment) => moment.id))
  return moments.filter((moment) => !failed.has(moment.id))
}

function parse(text: string, id: number): TracedMoment {
  const call = tracedCalls.find((name) => text.startsWith(`${name}(`))
  if (call === undefined) throw new Error(`no call that is traced: ${text.slice(0, 80)}`)
  const strings = [...text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = '']) => Buffer.from(hex.replaceAll('\\x', ''), 'hex'))
  const args = text.slice(call.length + 1).replaceAll(/"[^"]*"/g, '""')
  const result = /\) += (-?\d+)/.exec(args)?.[1]
  const file = /^(\d+)<((?:\\x[0-9a-f]{2})*)>/.exec(args)
  const [first, second] = strings.map((bytes) => bytes.toString('utf8'))
  const folder = /^(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>/.exec(args)
  const numbers = [...args.matchAll(/, (\d+)(?=[,)]| *$)/g)].map(([, number]) => Number(number))
  const named = call === 'openat' || call === 'unlinkat'
  const inFolder = (path: string): string => (path.startsWith('/') || folder === null ? path : `${unhex(folder[1])}/${path}`)
  return {
    call,
    id,
    at: 'entered',
    path: named ? inFolder(first ?? '') : file === null ? (first ?? '') : unhex(file[2]),
    target: second ?? '',
    flags: args,
    bytes: strings[0] ?? Buffer.alloc(0),
    number: numbers.at(-1) ?? 0,
    fd: call === 'openat' ? Number(result ?? -1) : Number(file?.[1] ?? -1),
    result: Number(result ?? -1),
  }
}

function unhex(text: string | undefined): string {
  return Buffer.from((text ?? '').replaceAll('\\x', ''), 'hex').toString('utf8')
}
