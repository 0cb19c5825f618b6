import { readFileSync } from 'node:fs'
import { writeOrCheck } from '../../shared/config/write-or-check.ts'
import { describedOperations } from './described-operations.ts'
import { marksOf } from './parameter.ts'
import { describeSchema, type LooseSchema } from './problem.ts'

/**
 * docs/api.md: every endpoint and parameter, and whether it is supported, refused or ignored, made from the schemas that validate
 * requests. `node services/gateway/api/reference.ts --write` writes it; a test keeps it current.
 */
export function apiReference(): string {
  const sections = describedOperations.map(({ method, path, summary, body, event }) => {
    const title = `### \`${method.toUpperCase()} ${path}\`\n\n${summary}${event === undefined ? '' : ' Streams with `stream: true`.'}`
    return body === undefined ? `${title}\n` : `${title}\n\n| parameter | takes | | |\n|---|---|---|---|\n${rows(body, '').join('\n')}\n`
  })
  return sections.join('\n')
}

const beginMark = '<!-- generated: endpoints -->'
const endMark = '<!-- /generated -->'

/** The text with the generated part put between its marks. */
export function withReference(text: string): string {
  const [before = '', rest = ''] = text.split(beginMark)
  const after = rest.split(endMark)[1] ?? ''
  return `${before}${beginMark}\n${apiReference()}${endMark}${after}`
}

function rows(schema: LooseSchema, parent: string): string[] {
  const required = new Set(schema.required ?? [])
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const { 'x-support': support = 'supported', 'x-neutral': neutral } = marksOf(inner)
    const place = `${parent}${name}`
    const takes = support === 'refused' ? `only ${(neutral ?? []).map((value) => JSON.stringify(value)).join(', ')}` : describeSchema(inner).replaceAll(' or null', '')
    const note = `${required.has(name) ? 'Required. ' : ''}${sentence(inner.description ?? '')}`
    const row = `| \`${place}\` | ${cell(takes)} | ${support} | ${cell(note)} |`
    return support === 'supported' ? [row, ...nested(inner, place)] : [row]
  })
}

/** The parameters inside a parameter: of an object, of the items of a list, of each branch of a union. */
function nested(schema: LooseSchema, place: string): string[] {
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.flatMap((branch) => nested(branch, place)))]
  if (schema.items !== undefined) return nested(schema.items, `${place}[]`)
  return rows(schema, `${place}.`)
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

if (import.meta.main) {
  const file = new URL('../../../docs/api.md', import.meta.url)
  writeOrCheck(file, withReference(readFileSync(file, 'utf8')), process.argv.slice(2))
}
