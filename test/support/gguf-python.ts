import { pythonEnvironment } from './python.ts'

/** Path of a Python that has `gguf` and `numpy`. */
export async function ggufPython(): Promise<string> {
  return await pythonEnvironment('gguf', ['gguf==0.19.0', 'numpy==2.4.6'])
}
