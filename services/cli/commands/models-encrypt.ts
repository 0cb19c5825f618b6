import { readFile, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AgeError } from '../../shared/age/age-error.ts'
import type { ModelEntry } from '../../shared/models/catalogue.ts'
import { EncryptedModelError } from '../../shared/models/encryption-error.ts'
import { isInParts } from '../../shared/models/parts.ts'
import { createProgress } from '../../shared/models/progress.ts'
import { encryptedSuffix, isEncrypted, objection, placesOf, plainPlacesOf } from '../../shared/models/store.ts'
import type { ProgramContext } from '../context.ts'
import { misused } from './context.ts'
import { knownEntry } from './known-entry.ts'

interface EncryptFlags {
  recipient?: string[]
  recipientFile?: string[]
  newKey?: string
  output?: string
  removePlaintext?: true
  force?: true
}

/** `models encrypt`: the file of a model becomes one in the age format. */
export function registerEncrypt(group: Command, context: ProgramContext): void {
  group
    .command('encrypt')
    .description('encrypt the file of a model at rest, in the age format; services decrypt it into memory alone')
    .argument('<id>', 'model of the catalogue')
    .option('--recipient <age1…>', 'public key that it is encrypted for, may be repeated (default: that of the key which is set)', collect)
    .option('--recipient-file <file>', 'file with public keys, one a line; may be repeated', collect)
    .option('--new-key <file>', 'make a key, write it to this new file, and encrypt for it')
    .option('--output <file>', 'where to (default: beside the file, with .age behind its name, where it is found)')
    .option('--remove-plaintext', 'delete the plain file afterwards')
    .option('--force', 'replace an encrypted file that is there')
    .action(async (id: string, flags: EncryptFlags, command: Command) => {
      const config = context.config()
      const entry = knownEntry(command, config, id)
      if (isInParts(entry)) {
        throw new EncryptedModelError(`${entry.id} is a model in parts, which is served plain only. Merge the parts (llama-gguf-split --merge), name the merged file in its entry, then encrypt that.`)
      }
      const from = await plainFile(entry, config.home)
      const to = flags.output === undefined ? from + encryptedSuffix : resolve(flags.output)
      if (flags.removePlaintext === true && !placesOf(entry, config.home).includes(to)) {
        misused(command, '--remove-plaintext goes without --output: the platform would find no file of the model any more.')
      }
      if (flags.force !== true && (await exists(to))) misused(command, `${to} is there already: --force replaces it.`)
      const recipients = await chooseRecipients(flags, command, context)
      const { encryptFile } = await import('../../shared/models/encrypt.ts')
      const progress = createProgress(context.err)
      const onBytes = (received: number, total: number): void => progress({ source: to, received, total })
      const sha256 = await encryptFile({ from, to, recipients, sha256: entry.sha256, onBytes, signal: new AbortController().signal }).finally(() => progress.done())
      if (flags.removePlaintext === true) await rm(from)
      context.err.write(`Encrypted for ${recipients.join(', ')}; SHA-256 of the plaintext: ${sha256}.\n`)
      context.err.write(flags.removePlaintext === true ? `Deleted ${from}.\n` : `The plain file is still there: ${from}.\n`)
      context.out.write(`${to}\n`)
    })
}

/** The plain file of the model that is here, checked. */
async function plainFile(entry: ModelEntry, home: string): Promise<string> {
  const reasons: string[] = []
  for (const path of plainPlacesOf(entry, home).filter((place) => !isEncrypted(place))) {
    const reason = await objection(entry, path, home)
    if (reason === undefined) return path
    reasons.push(`${path} ${reason}`)
  }
  const found = reasons.length === 0 ? 'no plain file is named by its entry' : reasons.join('; ')
  throw new EncryptedModelError(`There is no file of ${entry.id} to encrypt: ${found}. "intramuros models pull ${entry.id}" fetches it.`)
}

async function chooseRecipients(flags: EncryptFlags, command: Command, { config, env, err }: ProgramContext): Promise<string[]> {
  const [{ keyFileText, newKeyPair, readRecipients, recipientOf }, { hasModelKey, readModelKey }] = await Promise.all([
    import('../../shared/age/keys.ts'),
    import('../../shared/models/model-key.ts'),
  ])
  try {
    const named = (flags.recipient ?? []).flatMap(readRecipients)
    for (const file of flags.recipientFile ?? []) named.push(...readRecipients(await readFile(file, 'utf8')))
    if (flags.newKey !== undefined) {
      const pair = await newKeyPair()
      const { createKeyFile } = await import('../../shared/models/key-file.ts')
      const path = resolve(flags.newKey)
      await createKeyFile(path, keyFileText(pair, new Date()))
      err.write(`Made a key: ${path}. Without it nobody reads the model again: keep a copy where secrets are kept. Set modelEncryption.keyFile to it.\n`)
      named.push(pair.recipient)
    }
    if (named.length > 0) return [...new Set(named)]
    const { modelEncryption } = config()
    if (!hasModelKey(modelEncryption)) {
      misused(command, 'no key is set to encrypt for: give --recipient or --recipient-file, or --new-key FILE to make one.')
    }
    return await Promise.all((await readModelKey(modelEncryption, env)).map(recipientOf))
  } catch (thrown) {
    if (thrown instanceof AgeError) misused(command, `a recipient can't be used: ${thrown.message}.`)
    throw thrown
  }
}

function collect(value: string, earlier: string[] = []): string[] {
  return [...earlier, value]
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false)
}
