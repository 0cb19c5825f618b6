import type { Command } from 'commander'
import type { ProgramContext } from '../context.ts'
import { registerEncrypt } from './models-encrypt.ts'
import { registerPull } from './models-pull.ts'
import { registerVerify } from './models-verify.ts'

/** Adds the group `models` to the program; each of its commands is a module of its own. */
export function registerModels(program: Command, context: ProgramContext): void {
  const group = program.command('models').description('the model files of this machine')
  registerPull(group, context)
  registerVerify(group, context)
  registerEncrypt(group, context)
}
