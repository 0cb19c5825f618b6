import { expect, test } from 'vitest'
import { ConfigError, loadConfig } from './load.ts'

const home = { INTRAMUROS_HOME: '/nonexistent', HOME: '/home/me' }

function problems(env: Record<string, string>): string[] {
  try {
    loadConfig({ env: { ...home, ...env } })
    return []
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems.map(({ path, found }) => `${path}: ${found}`)
    throw thrown
  }
}

test('the key has one place', () => {
  const env = { INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE: '/k', INTRAMUROS_MODEL_ENCRYPTION_KEY_VARIABLE: 'KEY', INTRAMUROS_MODEL_ENCRYPTION_KEY_COMMAND: '/bin/k,a' }
  const beside = 'a second place of the key, beside modelEncryption.keyFile (INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE)'
  expect(problems(env)).toEqual([`modelEncryption.keyVariable: ${beside}`, `modelEncryption.keyCommand: ${beside}`])
})

test('a command is named with its folder, so that PATH has no say in who gets to give the key', () => {
  expect(problems({ INTRAMUROS_MODEL_ENCRYPTION_KEY_COMMAND: 'cat,/k' })).toEqual(['modelEncryption.keyCommand: a program without its folder'])
  const { modelEncryption } = loadConfig({ env: { ...home, INTRAMUROS_MODEL_ENCRYPTION_KEY_COMMAND: '/bin/cat,/k' } })
  expect(modelEncryption.keyCommand).toEqual(['/bin/cat', '/k'])
})

test('paths in the home folder are filled in, and the variable of the key is no unknown setting', () => {
  const { modelEncryption } = loadConfig({ env: { ...home, INTRAMUROS_MODEL_ENCRYPTION_KEY_FILE: '~/key', INTRAMUROS_MODEL_KEY: 'x' } })
  expect(modelEncryption).toMatchObject({ keyFile: '/home/me/key', memoryFolder: '/dev/shm', refuseSwap: false })
  expect(problems({ INTRAMUROS_MODEL_KEYS: 'x' })).toEqual([': an unknown variable'])
})
