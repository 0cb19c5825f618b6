import { randomBytes } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { syncFolder } from './store/folder/place-file.ts'

/**
 * What the settings of the services were at their last start, as fingerprints under a key that only this ledger and its gateways have:
 * so a change can be told without its value being anywhere. Lies beside the log and is no part of it.
 */
const State = Type.Object(
  {
    key: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }),
    /** By service and instance, then by the name of the setting: base64. */
    services: Type.Record(Type.String(), Type.Record(Type.String(), Type.String())),
  },
  { additionalProperties: false },
)
type State = Static<typeof State>
const state = Compile(State)

export interface SettingsMemory {
  /** 32 bytes: the key of the fingerprints. */
  readonly key: Buffer
  /** Names of the settings that differ from what is remembered of `whose`, in their order; undefined when nothing is. */
  compare(whose: string, fingerprints: ReadonlyMap<string, Uint8Array>): string[] | undefined
  /** Durable when it resolves. */
  remember(whose: string, fingerprints: ReadonlyMap<string, Uint8Array>): Promise<void>
}

/** Opens the file, or makes it. One that can't be read as what it should be is begun anew: then nothing is known of the last start. */
export async function openSettingsMemory(file: string): Promise<SettingsMemory> {
  const known = (await read(file)) ?? { key: randomBytes(32).toString('base64'), services: {} }
  let writing: Promise<void> = write(file, known)
  await writing
  return {
    key: Buffer.from(known.key, 'base64'),
    compare(whose, fingerprints) {
      const before = known.services[whose]
      return before === undefined ? undefined : changedNames(before, encoded(fingerprints))
    },
    remember(whose, fingerprints) {
      known.services[whose] = encoded(fingerprints)
      writing = writing.catch(() => undefined).then(() => write(file, known))
      return writing
    },
  }
}

/** The names whose values differ, or that only one of both has. */
export function changedNames(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((name) => before[name] !== now[name]).toSorted()
}

function encoded(fingerprints: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries([...fingerprints].map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]))
}

async function read(file: string): Promise<State | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined
    throw thrown
  }
  try {
    const value: unknown = JSON.parse(text)
    return state.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function write(file: string, content: State): Promise<void> {
  const unfinished = `${file}.new`
  const handle = await open(unfinished, 'w', 0o600)
  try {
    await handle.writeFile(JSON.stringify(content))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(unfinished, file)
  syncFolder(dirname(file))
}
