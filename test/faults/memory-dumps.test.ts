import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type State, stateWith } from './support/alone.ts'

const model = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
const folders: string[] = []
let state: State | undefined
afterEach(async () => {
  await state?.remove()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'intramuros-dumps-'))
  folders.push(folder)
  return folder
}

describe('what a service has in memory gets into no file', () => {
  test.runIf(process.platform === 'linux')('of the kernel when it crashes, though core files are allowed', async () => {
    const folder = emptyFolder()
    const secret = `canary-${process.pid}-in-memory`
    state = await stateWith(model)
    const run = state.run('inference-worker', {
      // In memory from the beginning, as a prompt would be.
      env: { TEST_SECRET: secret, INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '256' },
      prefix: ['sh', '-c', `ulimit -c unlimited; main=$PWD/$1; cd ${folder}; exec "$0" "$main"`],
    })
    await run.ready()
    expect(readFileSync(`/proc/${run.process.pid}/coredump_filter`, 'utf8').trim()).toBe('00000000')
    run.process.kill('SIGABRT')
    expect(await run.ended).toBe('SIGABRT')
    for (const name of readdirSync(folder)) {
      expect(statSync(join(folder, name)).size, name).toBeLessThan(1024 * 1024)
      expect(readFileSync(join(folder, name)).includes(secret), name).toBe(false)
    }
  })

  test('of Node when it is asked for reports on crashes and signals', async () => {
    const folder = emptyFolder()
    state = await stateWith(model)
    const run = state.run('inference-worker', {
      env: { NODE_OPTIONS: `--report-on-fatalerror --report-on-signal --report-signal=SIGUSR2 --report-uncaught-exception --report-directory=${folder}`, INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '256' },
    })
    await run.ready()
    run.process.kill('SIGUSR2')
    await run.ended.then(() => undefined, () => undefined)
    expect(readdirSync(folder)).toEqual([])
  })

  test.each(['--heapsnapshot-near-heap-limit=2', '--heapsnapshot-signal=SIGUSR2', '--heap-prof'])('of Node: it does not start with %s', async (option) => {
    const folder = emptyFolder()
    state = await stateWith(model)
    const run = state.run('inference-worker', { env: { NODE_OPTIONS: `${option} --diagnostic-dir=${folder}` } })
    expect(await run.ended).toBe(78)
    expect(run.output()).toContain(option.replace(/=.*/, ''))
  })
})
