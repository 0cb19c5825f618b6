import { open } from 'node:fs/promises'
import { EngineLoadError } from './load-error.ts'

/** Magic, version, and the counts of tensors and metadata (ggml's docs/gguf.md). */
const headerBytes = 24
/**
 * A tensor's description has at least a name's length, a dimension count, a type and an offset; a metadata entry at least a
 * key's length, a type and a byte.
 */
const leastTensorBytes = 24
const leastEntryBytes = 13

/**
 * Looks at the first bytes of a GGUF file. The parsers behind this throw bare errors for what is caught here, or allocate
 * what the file asks for. Throws EngineLoadError.
 */
export async function checkGgufHeader(path: string): Promise<void> {
  const { header, size } = await readStart(path)
  if (header.length < 4 || header.toString('latin1', 0, 4) !== 'GGUF') {
    throw new EngineLoadError('not_gguf', `${path} is not a GGUF file: it does not begin with "GGUF".`)
  }
  if (header.length < headerBytes)
    throw new EngineLoadError('file_damaged', `${path} is cut short: it ends inside the GGUF header.`)
  const version = header.readUInt32LE(4)
  if (version !== 2 && version !== 3) {
    const order = version !== 0 && version % 65536 === 0 ? ' (a big-endian file)' : ''
    throw new EngineLoadError(
      'unsupported_gguf_version',
      `${path} has GGUF version ${version}${order}; versions 2 and 3 can be read.`,
    )
  }
  const tensors = header.readBigUInt64LE(8)
  const entries = header.readBigUInt64LE(16)
  if (tensors * BigInt(leastTensorBytes) + entries * BigInt(leastEntryBytes) > BigInt(size)) {
    throw new EngineLoadError(
      'file_damaged',
      `${path} is damaged: its header counts more tensors or metadata than the file can hold.`,
    )
  }
}

async function readStart(path: string): Promise<{ header: Buffer; size: number }> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
      return { header: buffer.subarray(0, bytesRead), size }
    } finally {
      await file.close()
    }
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown'
    if (code === 'ENOENT') throw new EngineLoadError('file_missing', `${path} does not exist.`)
    throw new EngineLoadError('file_unreadable', `${path} can't be read (${code}).`, thrown)
  }
}
