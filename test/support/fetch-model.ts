import { join } from 'node:path'
import { builtinModels } from '../../services/shared/models/catalogue.ts'
import { fetchModel } from '../../services/shared/models/fetch.ts'
import { createProgress } from '../../services/shared/models/progress.ts'

/**
 * Fetches the default model once into node_modules/.cache and tells every test where it is: some need a real one. Set
 * INTRAMUROS_TEST_MODEL to a GGUF of that model to use it instead.
 */
export default async function setup(): Promise<void> {
  const [model] = builtinModels
  if (model === undefined) throw new Error('the catalogue is empty')
  process.env['INTRAMUROS_TEST_MODEL'] ??= await fetchModel(model, {
    home: join(import.meta.dirname, '../../node_modules/.cache/intramuros-test'),
    env: process.env,
    onProgress: createProgress(process.stderr),
  })
}
