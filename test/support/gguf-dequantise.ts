import { join } from 'node:path'
import { ggufPython } from './gguf-python.ts'
import { runProgram } from './run-program.ts'

/** Writes a copy of a GGUF file with all its weights as 32-bit floats to `to`. */
export async function dequantise(path: string, to: string): Promise<void> {
  await runProgram(await ggufPython(), ['-B', join(import.meta.dirname, 'dequantise_gguf.py'), path, to], { timeoutMs: 300_000 })
}
