import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

const quickly = { timeoutMs: 60_000 }
const installMs = 15 * 60_000

/**
 * Path of the `python` of a virtual environment with these packages, `numpy==2.4.6` for instance: pin each version. It is
 * made once, from the package index that pip is configured with, and kept between test runs; another list of packages
 * or another Python gives another environment. Programs that the packages bring lie in the same folder.
 */
export async function pythonEnvironment(name: string, requirements: readonly string[]): Promise<string> {
  const version = await pythonVersion()
  // An environment can't be moved: one that came here with its folder from elsewhere is another.
  const parent = join(testCache(), 'python')
  const digest = createHash('sha256').update(JSON.stringify([version, requirements, parent])).digest('hex').slice(0, 12)
  const folder = join(parent, `${name}-${digest}`)
  const python = join(folder, 'bin/python')
  await makeOnce(folder, async () => {
    await makeVirtualEnvironment(folder)
    const list = join(folder, 'requirements.txt')
    await writeFile(list, requirements.map((requirement) => `${requirement}\n`).join(''))
    const install = ['install', '--quiet', '--no-input', '--disable-pip-version-check', '--prefer-binary', '--requirement', list]
    await runProgram(python, ['-m', 'pip', ...install], { timeoutMs: installMs })
  })
  return python
}

async function pythonVersion(): Promise<string> {
  try {
    return await runProgram('python3', ['-c', 'import sys; print(sys.version, sys.base_prefix)'], quickly)
  } catch (cause) {
    throw new Error('This test needs Python 3.11 or newer as `python3` on the PATH.', { cause })
  }
}

async function makeVirtualEnvironment(folder: string): Promise<void> {
  try {
    await runProgram('python3', ['-m', 'venv', folder], quickly)
  } catch (cause) {
    throw new Error('`python3 -m venv` failed: on Debian and Ubuntu the package python3-venv brings it.', { cause })
  }
}
