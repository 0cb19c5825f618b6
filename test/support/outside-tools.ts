import { hash } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

const sources = join(import.meta.dirname, '../outside/tools')
const buildMs = 20 * 60_000
const packages = ['.', 'github.com/transparency-dev/tessera/cmd/fsck', 'filippo.io/torchwood/cmd/litewitness']

export interface OutsideTools {
  /** Checks a whole log (transparency-dev/tessera). */
  fsck: string
  /** A C2SP tlog-witness (filippo.io/torchwood). */
  litewitness: string
  /** Asks test/outside/tools a question: what is read and written is JSON. */
  outside<T>(args: readonly string[], input?: unknown): Promise<T>
  outsidePath: string
}

/**
 * Tools of others that check transparency logs, of the versions and with the checksums that test/outside/tools pins. They are built once
 * from the Go module proxy, which needs Go 1.25 or newer as `go` on the PATH.
 */
export async function outsideTools(): Promise<OutsideTools> {
  const names = (await readdir(sources)).toSorted()
  const texts = await Promise.all(names.map((name) => readFile(join(sources, name), 'utf8')))
  const folder = join(testCache(), `outside-${hash('sha256', texts.join('\0'), 'hex').slice(0, 16)}`)
  await makeOnce(folder, async () => {
    try {
      await runProgram('go', ['version'], { timeoutMs: 60_000 })
    } catch (cause) {
      throw new Error('This test needs Go 1.25 or newer as `go` on the PATH.', { cause })
    }
    const modules = join(folder, 'modules')
    const variables = [`GOPATH=${modules}`, 'GOFLAGS=-modcacherw -mod=readonly -buildvcs=false']
    await runProgram('env', [...variables, 'go', '-C', sources, 'build', '-o', `${folder}/`, ...packages], { timeoutMs: buildMs })
    // Half a gigabyte of sources.
    await rm(modules, { recursive: true })
  })
  const outsidePath = join(folder, 'outside')
  return {
    fsck: join(folder, 'fsck'),
    litewitness: join(folder, 'litewitness'),
    outside: async <T>(args: readonly string[], input: unknown = null) => JSON.parse(await runProgram(outsidePath, args, { timeoutMs: 120_000, input: JSON.stringify(input) })) as T,
    outsidePath,
  }
}
