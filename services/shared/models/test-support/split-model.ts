import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeMetadata, serialiseGguf } from '../../../../test/support/gguf-file.ts'
import { partsAfter } from '../../gguf/part-names.ts'
import type { ModelEntry } from '../catalogue.ts'

export interface SplitModel {
  /** Pins all three parts, by digest and size; `from` is empty. */
  entry: ModelEntry & { sha256: string; parts: { sha256: string; size: number }[] }
  /** What the three files hold. */
  contents: Buffer[]
}

const first = 'm-00001-of-00003.gguf'

/** A GGUF in three parts as llama.cpp's gguf-split writes them, with a tensor in each. */
export function splitModel(): SplitModel {
  const contents = [0, 1, 2].map((part) => Buffer.concat(serialiseGguf({
    metadata: new Map([
      ...(part === 0 ? [['general.architecture', encodeMetadata('llama')] as const] : []),
      ['split.no', uint16(part)],
      ['split.count', uint16(3)],
      ['split.tensors.count', encodeInt32(3)],
    ]),
    tensors: [{ name: `tensor.${part}`, dimensions: [8], type: 0, offset: 0n }],
    data: Buffer.alloc(32, part + 1),
  })))
  const [pinned, ...parts] = contents.map((content) => ({ sha256: createHash('sha256').update(content).digest('hex'), size: content.length }))
  const openness = { weights: true, code: true, data: true, paper: true }
  return { contents, entry: { id: 'm', file: first, sha256: '', ...pinned, parts, licence: 'MIT', contextLength: 1, openness, from: {} } }
}

/** Writes the three files into a folder; returns their paths. */
export async function writeSplitModel(folder: string, { contents }: Pick<SplitModel, 'contents'>, name = first): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  const paths = [name, ...partsAfter(name)].map((file) => join(folder, file))
  await Promise.all(contents.map((content, index) => writeFile(paths[index] ?? '', content)))
  return paths
}

/** The content with one byte of its tensor's data flipped. */
export function flipped(content: Buffer | undefined): Buffer {
  const other = Buffer.from(content ?? '')
  other.writeUInt8(other.readUInt8(other.length - 1) ^ 1, other.length - 1)
  return other
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt32LE(2)
  bytes.writeUInt16LE(value, 4)
  return bytes
}

function encodeInt32(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(5)
  bytes.writeInt32LE(value, 4)
  return bytes
}
