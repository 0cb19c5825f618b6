import { rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../support/python.ts'
import { runProgram } from '../support/run-program.ts'

const requirements = ['six==1.17.0']
const limit = 120_000

it('makes an environment once, also for two that ask at the same time', { timeout: limit }, async () => {
  const [first, second] = await Promise.all([pythonEnvironment('test', requirements), pythonEnvironment('test', requirements)])
  expect(second).toBe(first)
  const version = await runProgram(first, ['-c', 'import six; print(six.__version__)'], { timeoutMs: limit })
  expect(version).toBe('1.17.0\n')
  const { ino } = await stat(dirname(first))
  await pythonEnvironment('test', requirements)
  expect((await stat(dirname(first))).ino).toBe(ino)
})

it('makes one again that was left half made', { timeout: limit }, async () => {
  const python = await pythonEnvironment('test', requirements)
  const folder = dirname(dirname(python))
  await rm(join(folder, '.complete'))
  await rm(join(folder, 'lib'), { recursive: true })
  expect(await pythonEnvironment('test', requirements)).toBe(python)
  await runProgram(python, ['-c', 'import six'], { timeoutMs: limit })
})

it('says which package could not be installed, and leaves nothing that looks complete', { timeout: limit }, async () => {
  const missing = ['six==0.0.0.1']
  await expect(pythonEnvironment('test', missing)).rejects.toThrow('six==0.0.0.1')
  await expect(pythonEnvironment('test', missing)).rejects.toThrow('six==0.0.0.1')
})
