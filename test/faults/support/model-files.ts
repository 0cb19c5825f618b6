import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeMetadata, type GgufFile, parseGguf, serialiseGguf } from '../../support/gguf-file.ts'

const original = process.env['INTRAMUROS_TEST_MODEL'] ?? ''

/** Files made from the real model, each wrong in its own way. */
export function createModelFiles() {
  const folder = mkdtempSync(join(tmpdir(), 'intramuros-model-'))
  const model = readFileSync(original)
  const header = model.length - parseGguf(model).data.length
  let count = 0

  function save(content: Buffer): string {
    count += 1
    const path = join(folder, `model-${count}.gguf`)
    writeFileSync(path, content)
    return path
  }

  return {
    folder,
    /** Where the tensors' data begins. */
    header,
    size: model.length,
    whole: original,
    /** Only the first bytes. */
    cut: (bytes: number) => save(model.subarray(0, bytes)),
    /** With other bytes at some place. */
    patched(at: number, bytes: Buffer): string {
      const copy = Buffer.from(model)
      bytes.copy(copy, at)
      return save(copy)
    },
    /** With other metadata or tensors. */
    edited(edit: (file: GgufFile) => void): string {
      const file = parseGguf(model)
      edit(file)
      return save(Buffer.concat(serialiseGguf(file)))
    },
    /** A file that has all that a header can be checked for, and that llama.cpp aborts on while it loads it. */
    aborting(): string {
      return this.edited(({ metadata }) => metadata.set('llama.rope.scaling.type', encodeMetadata('none of those')))
    },
    /** As aborting, but at the first decode. */
    abortingLate(): string {
      return this.edited(({ metadata }) => metadata.set('llama.attention.layer_norm_rms_epsilon', encodeMetadata({ float32: Number.NaN })))
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

export function littleEndian(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}

/** Body fields with which the real model does not end its answer by itself: its tokens that end a turn never come. */
export const endless = { stream: true, max_tokens: 900, logit_bias: { 0: -100, 2: -100 } }
