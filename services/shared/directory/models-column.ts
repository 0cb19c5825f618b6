import { DirectoryError } from './directory-error.ts'
import { type Row, textOf } from './database.ts'

/** The list of model ids in a row's `models` column, a JSON array of texts. */
export function modelsOf(row: Row): readonly string[] {
  const models: unknown = JSON.parse(textOf(row, 'models'))
  // A list that can't be read must not count as the empty one, which allows every model.
  if (!Array.isArray(models) || !models.every((model) => typeof model === 'string')) {
    throw new DirectoryError('Column models of the directory holds no list of texts.')
  }
  return Object.freeze(models)
}
