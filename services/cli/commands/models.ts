import type { Command } from 'commander'
import type { ProgramContext } from '../context.ts'
import { registerModelsFit } from './models-fit.ts'
import { registerModelsList } from './models-list.ts'
import { registerModelsShow } from './models-show.ts'

export type ModelsContext = Pick<ProgramContext, 'config' | 'out' | 'err'>

/** Adds `models list|show|fit` to the program. */
export function registerModels(program: Command, context: ModelsContext): void {
  const models = program.command('models').description('the models that can be served, their files, and what they need')
  registerModelsList(models, context)
  registerModelsShow(models, context)
  registerModelsFit(models, context)
}
