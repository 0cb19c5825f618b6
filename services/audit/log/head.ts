import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { isMissing } from './files.ts'
import { noHash } from './record.ts'

const natural = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** How far the log is known to be durable: without it nobody would notice records removed from the log's end, or added there. */
const Head = Type.Object(
  {
    /** Records, and bytes that they take. */
    count: natural,
    bytes: natural,
    /** Hash of the last of them. */
    hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    /** True after a clean end: then nothing may follow. */
    closed: Type.Boolean(),
  },
  { additionalProperties: false },
)
export type Head = Static<typeof Head>

const validator = Compile(Head)
const fileName = 'head.json'
/** Always as long, so that it is overwritten in place and a crash can't leave half of it. */
const fileBytes = 192

export const emptyHead: Head = { count: 0, bytes: 0, hash: noHash, closed: false }

function encode({ count, bytes, hash, closed }: Head): string {
  return `${JSON.stringify({ count, bytes, hash, closed }).padEnd(fileBytes - 1)}\n`
}

function decode(text: string): Head | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return validator.Check(value) && encode(value) === text ? value : undefined
  } catch {
    return undefined
  }
}

export async function readHead(folder: string): Promise<Head | 'missing' | 'malformed'> {
  for (let tries = 1; ; tries += 1) {
    let text: string
    try {
      text = await readFile(join(folder, fileName), 'latin1')
    } catch (thrown) {
      if (isMissing(thrown)) return 'missing'
      throw thrown
    }
    const head = decode(text)
    if (head !== undefined) return head
    // A running service may have been writing it just then.
    if (tries === 5) return 'malformed'
    await after(2)
  }
}

/** Creates the head of an empty log, durably but for its folder entry. */
export async function createHead(folder: string): Promise<void> {
  const file = await open(join(folder, fileName), 'wx', 0o600)
  try {
    await file.writeFile(encode(emptyHead))
    await file.sync()
  } finally {
    await file.close()
  }
}

export interface HeadFile {
  /** Some 3 µs. Not synced: after a power failure an older head, never a newer one, stands before the same log. */
  write(head: Head): void
  /** Written and synced. */
  writeDurably(head: Head): void
  close(): void
}

export function openHead(folder: string): HeadFile {
  const fd = openSync(join(folder, fileName), 'r+')
  const write = (head: Head): void => {
    const text = encode(head)
    if (writeSync(fd, text, 0, 'latin1') !== text.length) throw new Error('The head of the log was written in part.')
  }
  return {
    write,
    writeDurably(head) {
      write(head)
      fdatasyncSync(fd)
    },
    close: () => closeSync(fd),
  }
}
