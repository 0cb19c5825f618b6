import { parse } from 'yaml'

/** One value of values.yaml, with what the comment above it says. */
export interface Value {
  path: readonly string[]
  /** Heading of the group that it stands in. */
  group: string
  description: string
  /** What the line `@schema {…}` adds to its JSON Schema. */
  schema: Readonly<Record<string, unknown>>
  preset: unknown
}

const heading = /^# == (.+) ==$/
const comment = /^\s*# ?(.*)$/
const key = /^(\s*)([A-Za-z0-9-]+):/

/**
 * The values of a values.yaml in their order, with those that hold others. It is read line by line, since the comments count: two spaces a level, comments right above
 * their key, a line `@schema {JSON}` among them for what a default can't tell. A value that has a schema for what is in it has no values under it.
 * Throws an Error that names the line.
 */
export function readValues(text: string): Value[] {
  const presets: unknown = parse(text)
  const values: Value[] = []
  const path: string[] = []
  let closedAt: number | undefined
  let group = ''
  let comments: string[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const head = heading.exec(line)?.[1]
    if (head !== undefined) group = head
    const said = head === undefined ? comment.exec(line)?.[1] : ''
    if (said !== undefined && head === undefined) comments.push(said)
    else {
      const found = key.exec(line)
      const depth = (found?.[1]?.length ?? 0) / 2
      if (found?.[2] !== undefined && !(closedAt !== undefined && depth > closedAt)) {
        path.splice(depth, Infinity, found[2])
        const value = { path: [...path], group, ...splitComment(comments, index), preset: presetAt(presets, path) }
        closedAt = value.schema['additionalProperties'] === undefined && value.schema['$settings'] === undefined ? undefined : depth
        values.push(value)
      }
      comments = []
    }
  }
  return values
}

function splitComment(lines: readonly string[], at: number): Pick<Value, 'description' | 'schema'> {
  const description = lines.filter((line) => !line.startsWith('@schema ')).join(' ')
  const [schema = '{}'] = lines.filter((line) => line.startsWith('@schema ')).map((line) => line.slice('@schema '.length))
  try {
    return { description, schema: JSON.parse(schema) as Record<string, unknown> }
  } catch (cause) {
    throw new Error(`values.yaml, above line ${at + 1}: @schema is no JSON.`, { cause })
  }
}

function presetAt(presets: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], presets)
}
