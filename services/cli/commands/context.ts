import type { Command, CommanderError } from 'commander'
import type { DirectorySource } from '../../audit/directory/use-directory.ts'
import type { PostgresSettings } from '../../audit/store/postgres/connection.ts'

/** What the commands get from the program. Functions, as options of the program are known only once a command runs. */
export interface CommandContext {
  /** Where teams and keys are. */
  directory(): DirectorySource
  /** Ids of all models that could be served: built-in and configured ones. */
  knownModels(): readonly string[] | Promise<readonly string[]>
  /** Folder of the audit log. */
  auditFolder(): string | Promise<string>
  /** The log's database, where it is in one. */
  auditPostgres?(): PostgresSettings | undefined
  /** File of the public key of the configured audit log. */
  auditKeyFile(): string | Promise<string>
  /** For what was asked for: may be piped into another program. */
  out: NodeJS.WritableStream
  /** For what is said about it. */
  err: NodeJS.WritableStream
}

const usage = 2

/** Ends the program with status 2 and an explanation. */
export function misused(command: Command, explanation: string): never {
  return command.error(`error: ${explanation}`, { exitCode: usage, code: 'intramuros.usage' })
}

/** Exit status for what `parseAsync` threw under `exitOverride()`: commander's own errors, all about usage, would end with 1. */
export function exitStatusOf(error: CommanderError): number {
  return error.code.startsWith('commander.') && error.exitCode !== 0 ? usage : error.exitCode
}
