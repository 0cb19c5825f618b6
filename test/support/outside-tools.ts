import { hash } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

const modules = join(import.meta.dirname, '../outside')
const buildMs = 20 * 60_000
const toolPackages = ['.', 'github.com/transparency-dev/tessera/cmd/fsck', 'filippo.io/torchwood/cmd/litewitness']

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
  const folder = await build('tools', toolPackages)
  const outsidePath = join(folder, 'outside')
  return {
    fsck: join(folder, 'fsck'),
    litewitness: join(folder, 'litewitness'),
    outside: async <T>(args: readonly string[], input: unknown = null) => JSON.parse(await runProgram(outsidePath, args, { timeoutMs: 120_000, input: JSON.stringify(input) })) as T,
    outsidePath,
  }
}

/** A server of others that speaks S3 with object lock (versitygw), of the version that test/outside/s3-server pins; built once, as the tools are. */
export async function s3ServerProgram(): Promise<string> {
  return join(await build('s3-server', ['github.com/versity/versitygw/cmd/versitygw']), 'versitygw')
}

/** The folder that the programs of a Go module of test/outside are in. */
async function build(name: string, packages: readonly string[]): Promise<string> {
  const sources = join(modules, name)
  const names = (await readdir(sources)).toSorted()
  const texts = await Promise.all(names.map((file) => readFile(join(sources, file), 'utf8')))
  const folder = join(testCache(), `outside-${hash('sha256', texts.join('\0'), 'hex').slice(0, 16)}`)
  await makeOnce(folder, async () => {
    try {
      await runProgram('go', ['version'], { timeoutMs: 60_000 })
    } catch (cause) {
      throw new Error('This test needs Go 1.25 or newer as `go` on the PATH.', { cause })
    }
    const downloads = join(folder, 'modules')
    const variables = [`GOPATH=${downloads}`, 'GOFLAGS=-modcacherw -mod=readonly -buildvcs=false']
    await runProgram('env', [...variables, 'go', '-C', sources, 'build', '-o', `${folder}/`, ...packages], { timeoutMs: buildMs })
    // Half a gigabyte of sources.
    await rm(downloads, { recursive: true })
  })
  return folder
}
