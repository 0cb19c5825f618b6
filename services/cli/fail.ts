import { CommanderError } from 'commander'
import { StartError } from '../../deploy/local/start-error.ts'
import { ConfigError } from '../shared/config/config-error.ts'
import { exitStatus, FatalStartError } from '../shared/supervision.ts'
import { ModelUnavailable } from '../shared/models/failures.ts'
import { exitStatusOf } from './commands/context.ts'

/** Errors whose messages are written for the person at the terminal. */
const forPeople = new Set(['StartError', 'ConfigError', 'ModelUnavailable', 'LocalFailure', 'FatalStartError', 'EncryptedModelError', 'DirectoryError', 'ServiceError', 'ContentError'])

/** Tells why a command failed and sets the exit status: 1 refused, 2 used wrongly, 66 no model file, 78 wrong settings, or that of a service that could not start. */
export function fail(thrown: unknown): void {
  if (thrown instanceof CommanderError) {
    // It has printed its message, or the help or version that was asked for.
    process.exitCode = exitStatusOf(thrown)
    return
  }
  process.exitCode = statusOf(thrown)
  if (!(thrown instanceof Error)) process.stderr.write('intramuros: failed without an error.\n')
  else if (forPeople.has(thrown.name)) process.stderr.write(`${thrown.message}\n`)
  else process.stderr.write(`intramuros: ${systemError(thrown) ?? thrown.stack ?? thrown.message}\n`)
}

function statusOf(thrown: unknown): number {
  if (thrown instanceof StartError || thrown instanceof FatalStartError) return thrown.status
  if (thrown instanceof ConfigError) return exitStatus.configuration
  return thrown instanceof ModelUnavailable && thrown.local ? exitStatus.missingFile : 1
}

/** In one line what the operating system refused, for example a folder that can't be written. */
function systemError(error: Error): string | undefined {
  return 'syscall' in error && 'code' in error && typeof error.code === 'string' ? error.message : undefined
}
