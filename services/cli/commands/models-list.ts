import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { partsAfter } from '../../shared/gguf/part-names.ts'
import { catalogueOf, type ModelEntry } from '../../shared/models/catalogue.ts'
import { placesOf } from '../../shared/models/store.ts'
import { sizeText } from '../../shared/fit/budget.ts'
import type { ModelsContext } from './models.ts'
import { opennessGrade } from './openness.ts'
import { table } from './table.ts'

/** Adds `models list`. */
export function registerModelsList(models: Command, { config, out }: ModelsContext): void {
  models
    .command('list')
    .description('list the models of the catalogue: which are served, whether their files are here, and how open they are')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) => {
      const { home, serve, models: own } = config()
      const listed = [...catalogueOf(own).values()].map((entry) => ({
        id: entry.id,
        served: serve.includes(entry.id),
        ...present(entry, home),
        licence: entry.licence,
        openness: entry.openness,
        grade: opennessGrade(entry),
      }))
      if (json === true) {
        out.write(`${JSON.stringify(listed)}\n`)
        return
      }
      const rows = listed.map(({ id, served, path, size, licence, grade }) => [
        id,
        served ? 'yes' : 'no',
        path === null ? 'no' : 'yes',
        size === null ? '?' : sizeText(size),
        licence,
        grade,
      ])
      out.write(table(['MODEL', 'SERVED', 'HERE', 'SIZE', 'LICENCE', 'OPENNESS'], rows, 'The catalogue is empty.'))
    })
}

/** Where its file is and how large, with all its parts, if they are as large as the catalogue says; that they are the right ones is checked when they are used. */
function present(entry: ModelEntry, home: string): { path: string | null; size: number | null } {
  const pinned = [entry.size, ...(entry.parts ?? []).map(({ size }) => size)]
  for (const path of placesOf(entry, home)) {
    const sizes = [path, ...partsAfter(path)].map((file, index) => {
      const found = statSync(file, { throwIfNoEntry: false })
      return found?.isFile() === true && (pinned[index] ?? found.size) === found.size ? found.size : undefined
    })
    if (sizes.every((size) => size !== undefined)) return { path, size: sizes.reduce((sum, size) => sum + size, 0) }
  }
  return { path: null, size: pinned.every((size) => size !== undefined) ? pinned.reduce((sum, size) => sum + size, 0) : null }
}
