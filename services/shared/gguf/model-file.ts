import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { GgufError } from './gguf-error.ts'
import { type GgufHeader, type MetadataValue, parseGgufHeader, type Tensor } from './gguf-header.ts'
import { partName, partsAfter } from './part-names.ts'

/** What the headers of a model's file, or of all its parts, say. */
export interface ModelFile {
  /** The file, or the parts in their order. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[]
  /** GGUF's. */
  readonly version: number
  /** Of the first part; the others have none of their own. */
  readonly metadata: ReadonlyMap<string, MetadataValue>
  /** Of all parts. */
  readonly tensors: readonly Tensor[]
}

const firstReadBytes = 2 ** 20
/** Longest header that is read. Those of models with the largest vocabularies have some 30 MiB. */
const mostHeaderBytes = 256 * 2 ** 20
const mostParts = 9999

/**
 * Reads what a model's GGUF file says of itself, not its weights. A model in parts (`…-00001-of-00003.gguf`) is named by its first
 * one, and the others lie beside it, as llama.cpp has it. Throws GgufError.
 */
export async function readModelFile(path: string): Promise<ModelFile> {
  const first = await readPart(path)
  const { version, metadata } = first.header
  const parts = [first]
  for (const part of otherParts(path, metadata)) parts.push(await readOtherPart(part, path))
  return {
    files: parts.map((part) => ({ path: part.path, bytes: part.bytes })),
    version,
    metadata,
    tensors: parts.flatMap(({ header }) => header.tensors),
  }
}

/** Paths of the parts that follow the first one, by its header, whether they are there or not. Throws GgufError. */
export async function readPartsAfter(first: string): Promise<string[]> {
  const { header } = await readPart(first)
  return otherParts(first, header.metadata)
}

/** Whether it has texts for its tokens. llama.cpp's bindings end the process over a model that says of itself that it has none. */
export function hasVocabulary({ metadata }: ModelFile): boolean {
  const model = metadata.get('tokenizer.ggml.model')
  const tokens = metadata.get('tokenizer.ggml.tokens')
  return typeof model === 'string' && model !== 'none' && model !== 'no_vocab' && typeof tokens === 'object' && tokens.length > 0
}

interface Part {
  path: string
  bytes: number
  header: GgufHeader
}

async function readPart(path: string): Promise<Part> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      for (let length = firstReadBytes; ; length *= 2) {
        const wanted = Math.min(length, size)
        const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, 0)
        const header = parseGgufHeader(buffer.subarray(0, bytesRead), size, path)
        if (header !== undefined) return { path, bytes: size, header }
        if (bytesRead < wanted || wanted === size) throw new GgufError('file_damaged', `${path} is cut short: it ends inside the GGUF header. Fetch it again.`)
        if (length >= mostHeaderBytes) throw new GgufError('file_damaged', `${path} is damaged: its header has more than ${mostHeaderBytes / 2 ** 20} MiB.`)
      }
    } finally {
      await file.close()
    }
  } catch (thrown) {
    if (thrown instanceof GgufError) throw thrown
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown'
    if (code === 'ENOENT') throw new GgufError('file_missing', `${path} does not exist.`)
    throw new GgufError('file_unreadable', `${path} can't be read (${code}).`, thrown)
  }
}

async function readOtherPart(path: string, first: string): Promise<Part> {
  try {
    return await readPart(path)
  } catch (thrown) {
    if (!(thrown instanceof GgufError && thrown.reason === 'file_missing')) throw thrown
    throw new GgufError('part_missing', `${path} does not exist: it is a part of the model that begins with ${basename(first)}. Put all parts beside it.`)
  }
}

/** Paths of the parts that follow the first one. */
function otherParts(path: string, metadata: ReadonlyMap<string, MetadataValue>): string[] {
  const count = metadata.get('split.count') ?? 0
  if (typeof count !== 'number' || count <= 1) return []
  if (count % 1 !== 0 || count > mostParts) throw new GgufError('file_damaged', `${path} is damaged: it says that the model has ${count} parts.`)
  const named = partName(path)
  const ending = String(count).padStart(5, '0')
  const stem = named === undefined ? '<name>' : basename(path).replace(/-\d{5}-of-\d{5}\.gguf$/, '')
  const first = `${stem}-00001-of-${ending}.gguf`
  if (metadata.get('split.no') !== 0 || (named !== undefined && named.number !== 1)) {
    throw new GgufError('part_missing', `${path} is one of the ${count} parts of a model, and not the first: name ${first}.`)
  }
  if (named?.total !== count) {
    throw new GgufError('part_missing', `${path} is the first of the ${count} parts of a model, which find each other by their names: call them ${first} and so on.`)
  }
  return partsAfter(path)
}
