import { join } from 'node:path'
import { makeOnce, testCache } from './make-once.ts'
import { runProgram } from './run-program.ts'

const version = 'v1.3.2'
const installMs = 10 * 60_000

export interface AgeTool {
  age: string
  ageKeygen: string
}

/** The format's authors' own tool, of a pinned version. It is built once from the Go module proxy, which needs Go 1.24 or newer as `go` on the PATH. */
export async function ageTool(): Promise<AgeTool> {
  const folder = join(testCache(), `age-${version}`)
  await makeOnce(folder, async () => {
    try {
      await runProgram('go', ['version'], { timeoutMs: 60_000 })
    } catch (cause) {
      throw new Error('This test needs Go 1.24 or newer as `go` on the PATH.', { cause })
    }
    const variables = [`GOBIN=${folder}`, `GOPATH=${join(folder, 'go')}`, 'GOFLAGS=-modcacherw']
    await runProgram('env', [...variables, 'go', 'install', `filippo.io/age/cmd/age@${version}`, `filippo.io/age/cmd/age-keygen@${version}`], { timeoutMs: installMs })
  })
  return { age: join(folder, 'age'), ageKeygen: join(folder, 'age-keygen') }
}
