import type { Problem } from './config-error.ts'
import { fromText } from './environment.ts'
import type { Field } from './fields.ts'
import type { Layer, Setting } from './layer.ts'
import { suggest } from './suggest.ts'
import { shownName } from './wording.ts'

/** Values by path ("gateway.port"). A text counts as the setting's type, as in a variable; undefined counts as not given. */
export type Overrides = Readonly<Record<string, unknown>>

/** The settings that a caller gives: command-line options, or what the launcher found out. */
export function readOverrides(overrides: Overrides, fields: readonly Field[]): Layer {
  const fieldAt = new Map(fields.map((field) => [field.path, field]))
  const settings = new Map<string, Setting>()
  const problems: Problem[] = []
  for (const [path, value] of Object.entries(overrides)) {
    if (value === undefined) continue
    const field = fieldAt.get(path)
    const source = `option ${shownName(path)}`
    if (field === undefined) {
      const suggestion = suggest(path, fieldAt.keys())
      const advice = suggestion === undefined ? undefined : `Did you mean "${suggestion}"?`
      problems.push({ path: '', source, found: 'an unknown option', allowed: 'the path of a setting', suggestion: advice })
    } else {
      settings.set(path, {
        field,
        value: typeof value === 'string' ? fromText(field.schema, value) : value,
        originOf: () => source,
      })
    }
  }
  return { settings, problems }
}
