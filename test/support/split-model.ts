import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeGguf } from './gguf-edit.ts'
import { encodeMetadata, type GgufFile, parseGguf, type Tensor } from './gguf-file.ts'

const alignment = 32

/** Writes a model in so many parts, as llama.cpp's gguf-split does, named `<stem>-00001-of-0000N.gguf` and so on; their paths. */
export async function splitModel(path: string, folder: string, stem: string, parts: number): Promise<string[]> {
  const { metadata, tensors, data } = parseGguf(await readFile(path))
  const ordered = tensors.toSorted((one, other) => Number(one.offset - other.offset))
  const paths: string[] = []
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((ordered.length * part) / parts)
    const to = Math.floor((ordered.length * (part + 1)) / parts)
    const start = ordered[from]?.offset ?? 0n
    const end = Number(ordered[to]?.offset ?? data.length)
    const own: Tensor[] = ordered.slice(from, to).map((tensor) => ({ ...tensor, offset: tensor.offset - start }))
    const split = new Map([
      ['split.no', uint16(part)],
      ['split.count', uint16(parts)],
      ['split.tensors.count', int32(tensors.length)],
    ])
    const file: GgufFile = { metadata: new Map([...(part === 0 ? metadata : []), ...split]), tensors: own, data: data.subarray(Number(start), Math.ceil(end / alignment) * alignment) }
    const target = join(folder, `${stem}-${number(part + 1)}-of-${number(parts)}.gguf`)
    await writeGguf(target, file)
    paths.push(target)
  }
  return paths
}

function number(value: number): string {
  return String(value).padStart(5, '0')
}

/** llama.cpp wants just these types. */
function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt32LE(2)
  bytes.writeUInt16LE(value, 4)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = encodeMetadata(value)
  bytes.writeUInt32LE(5)
  return bytes
}
