import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import type { Config } from '../config/schema.ts'
import { AgeError } from '../age/age-error.ts'
import { readIdentities } from '../age/keys.ts'
import { EncryptedModelError, KeyCommandError } from './encryption-error.ts'

export type KeySettings = Pick<Config['modelEncryption'], 'keyFile' | 'keyVariable' | 'keyCommand'>

/** A post-quantum identity has less than a hundred characters; there may be some of them, with comments. */
const largestKey = 65_536
const defaultLimitMs = 30_000

/** True when some setting says where the key is. */
export function hasModelKey({ keyFile, keyVariable, keyCommand }: KeySettings): boolean {
  return keyFile !== '' || keyVariable !== '' || keyCommand.length > 0
}

/**
 * The secret keys (age identities) that the settings lead to. The variable is taken out of `env`, so that no child process gets
 * it. Throws EncryptedModelError, or KeyCommandError, that quote nothing of what was read.
 */
export async function readModelKey(settings: KeySettings, env: NodeJS.ProcessEnv, limitMs = defaultLimitMs): Promise<string[]> {
  const { source, text } = await readText(settings, env, limitMs)
  try {
    return await readIdentities(text)
  } catch (thrown) {
    if (thrown instanceof AgeError) throw new EncryptedModelError(`${source}: ${thrown.message}.`)
    throw thrown
  }
}

async function readText({ keyFile, keyVariable, keyCommand }: KeySettings, env: NodeJS.ProcessEnv, limitMs: number): Promise<{ source: string; text: string }> {
  if (keyFile !== '') return { source: `The key file ${keyFile} (modelEncryption.keyFile)`, text: await readKeyFile(keyFile) }
  if (keyVariable !== '') {
    const text = env[keyVariable]
    const source = `The variable ${keyVariable} (modelEncryption.keyVariable)`
    if (text === undefined || text === '') throw new EncryptedModelError(`${source} is not set.`)
    // eslint-disable-next-line typescript/no-dynamic-delete -- process.env has no other way
    delete env[keyVariable]
    return { source, text }
  }
  const [program, ...args] = keyCommand
  if (program === undefined) {
    throw new EncryptedModelError('No key is set: set modelEncryption.keyFile, keyVariable or keyCommand.')
  }
  return { source: `The output of ${program} (modelEncryption.keyCommand)`, text: await outputOf(program, args, env, limitMs) }
}

async function readKeyFile(path: string): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      // A pipe or a mistaken path must not fill the memory.
      const bytes = Buffer.alloc(largestKey + 1)
      let length = 0
      for (let read = 1; read > 0 && length <= largestKey; length += read) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length)
        read = bytesRead
      }
      if (length > largestKey) throw new EncryptedModelError(`${path} (modelEncryption.keyFile) is too large for a key file.`)
      return bytes.toString('utf8', 0, length)
    } finally {
      await file.close()
    }
  } catch (thrown) {
    if (thrown instanceof EncryptedModelError) throw thrown
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown error'
    const why = code === 'ENOENT' ? 'does not exist' : `can't be read (${code})`
    throw new EncryptedModelError(`The key file ${path} (modelEncryption.keyFile) ${why}.`)
  }
}

/** What a program writes to standard output. What it says on standard error goes nowhere: it might be about the key. */
async function outputOf(program: string, args: readonly string[], env: NodeJS.ProcessEnv, limitMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = execFile(program, args, { env, timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: largestKey, shell: false, windowsHide: true }, (failure, output) => {
    if (failure === null) resolve(output)
    else reject(new KeyCommandError(`${program} (modelEncryption.keyCommand) gave no key: it ${howItFailed(failure, limitMs)}.`))
  })
  child.stdin?.end()
  child.stdin?.on('error', () => undefined)
  return await promise
}

function howItFailed(failure: Error & { code?: string | number | null | undefined; killed?: boolean | undefined; signal?: string | null | undefined }, limitMs: number): string {
  if (failure.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `wrote more than ${largestKey} bytes`
  if (failure.killed === true) return `took longer than ${limitMs / 1000} s`
  if (typeof failure.code === 'number') return `ended with status ${failure.code}`
  if (typeof failure.code === 'string') return `can't be run (${failure.code})`
  return `was ended by ${failure.signal ?? 'a signal'}`
}
