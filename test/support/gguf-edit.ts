import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { encodeMetadata, type GgufFile, type MetadataValue, parseGguf, serialiseGguf } from './gguf-file.ts'
import { makeOnce, testCache } from './make-once.ts'

/** Metadata by key; undefined takes an entry out. */
export type MetadataChanges = Readonly<Record<string, MetadataValue | undefined>>

/**
 * Path of a copy of a GGUF file with other metadata, for example `{'tokenizer.chat_template': '…'}` or
 * `{'tokenizer.ggml.fim_pre_token_id': 3}`. It is made once and kept between test runs.
 */
export async function withMetadata(path: string, changes: MetadataChanges): Promise<string> {
  const { size, mtimeMs } = await stat(path)
  const encoded = Object.entries(changes).map(([key, value]) => [key, value === undefined ? undefined : encodeMetadata(value)] as const)
  const hash = createHash('sha256').update(JSON.stringify([path, size, mtimeMs]))
  for (const [key, value] of encoded) hash.update(`\n${key}\n`).update(value ?? '-')
  const folder = join(testCache(), 'gguf', hash.digest('hex').slice(0, 16))
  const copy = join(folder, basename(path))
  await makeOnce(folder, async () => {
    const file = parseGguf(await readFile(path))
    for (const [key, value] of encoded) {
      if (value === undefined) file.metadata.delete(key)
      else file.metadata.set(key, value)
    }
    await writeGguf(copy, file)
  })
  return copy
}

export async function writeGguf(path: string, file: GgufFile): Promise<void> {
  await pipeline(Readable.from(serialiseGguf(file)), createWriteStream(path))
}
