import { stringify } from 'yaml'
import { isSection } from './fields.ts'
import { configSchema } from './schema.ts'
import type { SchemaNode } from './schema-node.ts'
import { allowedText } from './wording.ts'

const width = 110

const head = `# yaml-language-server: $schema=./intramuros.schema.json

## Settings of Intramuros. Each line that begins with one # is a setting at its default: remove the # and change it.
## Environment variables win over this file: gateway.port is INTRAMUROS_GATEWAY_PORT, and so on.
## A mistake is told at the next start, all of them at once, with line and column.
`

const examples: Readonly<Record<string, string>> = {
  models: `##   - id: my-model
##     file: my-model.Q4_K_M.gguf
##     size: 123456789
##     sha256: 64 hexadecimal digits
##     licence: Apache-2.0
##     contextLength: 8192
##     openness: { weights: true, code: false, data: false, paper: false }
##     from:
##       path: /srv/models/my-model.Q4_K_M.gguf # or hub: { repo, revision, file }, or package: { name, version, member }
`,
  'audit.witnesses': `##   - vkey: witness.example/w1+01234567+BHB1YmxpYyBrZXk=
##     url: https://witness.example
`,
  'audit.anchors': `##   - name: worm
##     kind: folder # or s3, or syslog
##     folder: /mnt/worm/intramuros
`,
}

/**
 * The configuration file that the first start writes: every setting at its default, commented out. Sections stay as they are,
 * so that removing the # of one line is enough. The schema that its first line names, for editors, belongs beside it.
 */
export function defaultConfigFile(): string {
  return head + settingsBelow(configSchema, '', '')
}

function settingsBelow(section: SchemaNode, above: string, indent: string): string {
  return Object.entries(section.properties ?? {})
    .map(([key, schema]) => {
      if (isSection(schema))
        return `\n${prose(schema.description ?? '', indent)}${indent}${key}:\n${settingsBelow(schema, `${above}${key}.`, `${indent}  `)}`
      const example = (examples[`${above}${key}`] ?? '').replaceAll(/^(?=.)/gm, indent)
      return `${indent === '' ? '\n' : ''}${prose(about(schema), indent)}${example}${indent}# ${key}: ${yamlOf(schema.default)}\n`
    })
    .join('')
}

function about(schema: SchemaNode): string {
  const allowed = schema.items?.type === 'object' ? 'a list of entries like this one' : allowedText(schema)
  return `${schema.description} Allowed: ${allowed}.`
}

function yamlOf(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 }).trim()
}

/** Text as comment lines of two #, which removing one leaves comments. */
function prose(text: string, indent: string): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && indent.length + last.length + word.length + 4 <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines.map((line) => `${indent}## ${line}\n`).join('')
}
