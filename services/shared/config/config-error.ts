import { shownName } from './wording.ts'

/** One thing that is wrong with the configuration. */
export interface Problem {
  /** The setting, for example "gateway.port" or "models[0].sha256"; empty when it is about the file as a whole. */
  readonly path: string
  /** Where it stands: "…/intramuros.yaml:12:9" (line and column), the name of a variable, "option gateway.port", or "default". */
  readonly source: string
  readonly found: string
  readonly allowed: string
  /** What to do, as a sentence. */
  readonly suggestion?: string | undefined
}

/** A file with more is not worth listing to its end. */
const mostListed = 50

/** Everything that is wrong with the configuration, at once. Its message is for people. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(messageOf(problems))
    this.problems = problems
  }
}

function messageOf(problems: readonly Problem[]): string {
  const head = problems.length === 1 ? 'The configuration has a problem:' : `The configuration has ${problems.length} problems:`
  const listed = problems
    .slice(0, mostListed)
    .map(({ path, source, found, allowed, suggestion }) =>
      [
        `  ${path === '' ? '' : `${path}  `}(${source})`,
        `    found ${found}; allowed: ${allowed}.`,
        ...(suggestion === undefined ? [] : [`    ${suggestion}`]),
      ].join('\n'),
    )
  const more = problems.length > mostListed ? [`  and ${problems.length - mostListed} more.`] : []
  return [head, ...listed, ...more].join('\n')
}

/** ['models', 0, 'sha256'] → "models[0].sha256". */
export function pathText(segments: readonly (string | number)[]): string {
  const parts = segments.map((segment) => (typeof segment === 'number' ? `[${segment}]` : `.${shownName(segment)}`))
  return parts.join('').replace(/^\./, '')
}
