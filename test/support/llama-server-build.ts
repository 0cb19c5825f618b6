import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildTools, llamaCppSource, userCache } from './llama-cpp-source.ts'
import { makeOnce } from './make-once.ts'
import { runProgram } from './run-program.ts'

const buildMs = 55 * 60_000

/**
 * Path of llama.cpp's `llama-server`, for the CPU. It is built once for each user and machine: about ten minutes on two cores, and
 * it needs a C++ compiler.
 */
export async function llamaServerBinary(): Promise<string> {
  const { archive, root } = await llamaCppSource()
  const settings = [...fixedSettings, ...(await instructionSets())]
  const key = createHash('sha256').update(JSON.stringify([root, process.platform, process.arch, settings])).digest('hex').slice(0, 12)
  const folder = join(userCache(), `llama-server-${key}`)
  const binary = join(folder, 'llama-server')
  await makeOnce(folder, async () => {
    const bin = dirname(await buildTools())
    const work = await mkdtemp(join(tmpdir(), 'intramuros-llama-server-'))
    try {
      await runProgram('tar', ['-xzf', archive, '-C', work], { timeoutMs: 120_000 })
      const build = join(work, 'build')
      const ninja = `-DCMAKE_MAKE_PROGRAM=${join(bin, 'ninja')}`
      const configure = ['-S', join(work, root), '-B', build, '-G', 'Ninja', ninja, ...settings.map((setting) => `-D${setting}`)]
      await runProgram(join(bin, 'cmake'), configure, { timeoutMs: 300_000 })
      const jobs = String(Math.min(availableParallelism(), 8))
      await runProgram('nice', [join(bin, 'ninja'), '-C', build, '-j', jobs, 'llama-server'], { timeoutMs: buildMs })
      await copyFile(join(build, 'bin/llama-server'), binary)
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })
  return binary
}

const fixedSettings = [
  'CMAKE_BUILD_TYPE=Release',
  'CMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG',
  'BUILD_SHARED_LIBS=OFF',
  'GGML_METAL=OFF',
  'GGML_NATIVE=OFF',
  'LLAMA_BUILD_EXAMPLES=OFF',
  'LLAMA_BUILD_MTMD=OFF',
  'LLAMA_BUILD_TESTS=OFF',
  'LLAMA_BUILD_UI=OFF',
  'LLAMA_OPENSSL=OFF',
]

/**
 * Those of this machine that compilers of some years ago know. AMX is left out: it sums in another order than the engine's own build of
 * llama.cpp, so that fewer answers would be the same to the letter.
 */
async function instructionSets(): Promise<string[]> {
  if (process.arch !== 'x64' || process.platform !== 'linux') return []
  const flags = new Set((await readFile('/proc/cpuinfo', 'utf8')).match(/^flags\s*:.*$/m)?.[0].split(/\s+/))
  const avx512 = ['avx512f', 'avx512cd', 'avx512bw', 'avx512dq', 'avx512vl'].every((flag) => flags.has(flag))
  const options = { AVX: 'avx', AVX2: 'avx2', FMA: 'fma', F16C: 'f16c', BMI2: 'bmi2' }
  const settings = Object.entries(options).map(([option, flag]) => `GGML_${option}=${flags.has(flag) ? 'ON' : 'OFF'}`)
  return [...settings, `GGML_AVX512=${avx512 ? 'ON' : 'OFF'}`]
}
