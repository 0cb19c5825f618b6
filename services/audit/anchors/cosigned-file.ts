import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { CheckpointKeys } from '../tlog/checkpoint.ts'
import { MalformedError } from '../tlog/malformed.ts'
import { UnverifiedError } from '../tlog/note.ts'
import { type Cosigned, cosignedOf, keepCosigned, readCosigned } from './cosigned.ts'

/** Checkpoints with their cosignatures, over restarts. What is lost of it comes again with the next answer of a witness. */
export interface CosignedCheckpoints {
  /** A note of at least so many records that witnesses have cosigned; undefined when there is none. */
  of(size: number): string | undefined
  /** Resolves once it is in the file. One at a time. */
  keep(note: string): Promise<void>
}

const Notes = Compile(Type.Array(Type.String(), { maxItems: 1000 }))

/** What the file holds that these keys did not sign is left out: a witness that was taken from the settings, another log. */
export async function openCosigned(file: string, keys: CheckpointKeys): Promise<CosignedCheckpoints> {
  let kept: Cosigned[] = []
  for (const note of await readNotes(file)) {
    const one = tryRead(note)
    if (one !== undefined) kept = keepCosigned(kept, one)
  }

  function tryRead(note: string): Cosigned | undefined {
    try {
      return readCosigned(note, keys)
    } catch (thrown) {
      if (thrown instanceof MalformedError || thrown instanceof UnverifiedError) return undefined
      throw thrown
    }
  }

  return {
    of: (size) => cosignedOf(kept, size)?.note,
    async keep(note) {
      const one = readCosigned(note, keys)
      if (one === undefined) return
      kept = keepCosigned(kept, one)
      await replace(file, `${JSON.stringify(kept.map((each) => each.note))}\n`)
    },
  }
}

async function readNotes(file: string): Promise<string[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return []
    throw thrown
  }
  try {
    const value: unknown = JSON.parse(text)
    return Notes.Check(value) ? value : []
  } catch {
    return []
  }
}

/** The old file or the new one, never a part. */
async function replace(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await open(`${file}.new`, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${file}.new`, file)
}
