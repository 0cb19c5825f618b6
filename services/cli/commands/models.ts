import type { Command } from 'commander'
import type { ProgramContext } from '../context.ts'
import { registerEncrypt } from './models-encrypt.ts'
import { registerModelsFit } from './models-fit.ts'
import { registerModelsList } from './models-list.ts'
import { registerPull } from './models-pull.ts'
import { registerModelsShow } from './models-show.ts'
import { registerVerify } from './models-verify.ts'

export type ModelsContext = Pick<ProgramContext, 'config' | 'env' | 'out' | 'err'>

/** Adds the group `models` to the program; each of its commands is a module of its own. */
export function registerModels(program: Command, context: ProgramContext): void {
  const models = program.command('models').description('the models that can be served, their files, and what they need')
  registerModelsList(models, context)
  registerModelsShow(models, context)
  registerModelsFit(models, context)
  registerPull(models, context)
  registerVerify(models, context)
  registerEncrypt(models, context)
}
