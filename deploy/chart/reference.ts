import { readFileSync } from 'node:fs'
import { writeOrCheck } from '../../services/shared/config/write-or-check.ts'
import { readValues } from './read-values.ts'
import { chartReadme } from './values-readme.ts'
import { valuesSchema } from './values-schema.ts'

const chart = new URL('../../charts/intramuros/', import.meta.url)

/** Texts of the chart's files that are made of values.yaml, by name. */
export function chartReferences(): Record<'values.schema.json' | 'README.md', string> {
  const values = readValues(readFileSync(new URL('values.yaml', chart), 'utf8'))
  return {
    'values.schema.json': `${JSON.stringify(valuesSchema(values), undefined, 2)}\n`,
    'README.md': chartReadme(readFileSync(new URL('readme-beginning.md', import.meta.url), 'utf8'), values),
  }
}

if (import.meta.main) for (const [name, text] of Object.entries(chartReferences())) writeOrCheck(new URL(name, chart), text, process.argv.slice(2))
