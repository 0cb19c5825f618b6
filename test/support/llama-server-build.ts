import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildTools, llamaCppSource, userCache } from './llama-cpp-source.ts'
import { makeOnce } from './make-once.ts'
import { runProgram } from './run-program.ts'

const buildMs = 55 * 60_000

/**
 * What the build is for. `answers`: those of the instruction sets that compilers of some years ago know, and quick to build. `speed`: all
 * those that this machine and the engine's own build of llama.cpp have in common, and the compiler's best effort. AMX is in neither: it
 * sums in another order than the engine's build, so that fewer answers would be the same to the letter, and it crashes on virtual
 * machines that announce it but keep it from their guests.
 */
export type LlamaServerBuild = 'answers' | 'speed'

/**
 * Path of llama.cpp's `llama-server`, for the CPU. It is built once for each user and machine: about ten minutes on two cores, and
 * it needs a C++ compiler.
 */
export async function llamaServerBinary(purpose: LlamaServerBuild = 'answers'): Promise<string> {
  const { archive, root } = await llamaCppSource()
  const settings = [...buildFor(purpose === 'answers' ? '-O2' : '-O3'), ...(await instructionSets(purpose))]
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

/** What it says of its version. */
export async function llamaServerVersion(purpose?: LlamaServerBuild): Promise<string> {
  const { root } = await llamaCppSource()
  const text = await runProgram('sh', ['-c', '"$0" --version 2>&1', await llamaServerBinary(purpose)], { timeoutMs: 10_000 })
  return `llama.cpp ${/^version: (\S+)/m.exec(text)?.[1] ?? 'of unknown version'} (${dirname(root)})`
}

function buildFor(optimisation: string): string[] {
  return [
    'CMAKE_BUILD_TYPE=Release',
    `CMAKE_CXX_FLAGS_RELEASE=${optimisation} -DNDEBUG`,
    'BUILD_SHARED_LIBS=OFF',
    'GGML_METAL=OFF',
    'GGML_NATIVE=OFF',
    'LLAMA_BUILD_EXAMPLES=OFF',
    'LLAMA_BUILD_MTMD=OFF',
    'LLAMA_BUILD_TESTS=OFF',
    'LLAMA_BUILD_UI=OFF',
    'LLAMA_OPENSSL=OFF',
  ]
}

/** ggml's CMake options, with the flags of the CPU that each needs. */
const common = {
  AVX: ['avx'],
  AVX2: ['avx2'],
  FMA: ['fma'],
  F16C: ['f16c'],
  BMI2: ['bmi2'],
  AVX512: ['avx512f', 'avx512cd', 'avx512bw', 'avx512dq', 'avx512vl'],
} as const

const recent = { AVX512_VBMI: ['avx512vbmi'], AVX512_VNNI: ['avx512_vnni'], AVX512_BF16: ['avx512_bf16'], AVX_VNNI: ['avx_vnni'] } as const

/** As ggml's CMake options: `GGML_AVX2=ON`. Empty where ggml's own defaults hold. */
export async function instructionSets(purpose: LlamaServerBuild): Promise<string[]> {
  if (process.arch !== 'x64' || process.platform !== 'linux') return []
  const flags = new Set((await readFile('/proc/cpuinfo', 'utf8')).match(/^flags\s*:.*$/m)?.[0].split(/\s+/))
  const options: Readonly<Record<string, readonly string[]>> = purpose === 'answers' ? common : { ...common, ...recent }
  return Object.entries(options).map(([option, needed]) => `GGML_${option}=${needed.every((flag) => flags.has(flag)) ? 'ON' : 'OFF'}`)
}
