import { readFileSync } from 'node:fs'
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit, type YAMLError } from 'yaml'
import { isMap as isPlainMap, unknownKey } from './check-value.ts'
import { type Problem, pathText } from './config-error.ts'
import { type Field, isSection } from './fields.ts'
import type { Layer, Setting } from './layer.ts'
import type { SchemaNode } from './schema-node.ts'
import { allowedText, foundText, oneOf } from './wording.ts'

/** A configuration file is some kilobytes; what is larger is another file. */
const largestFile = 1_048_576
/** Most values that aliases may expand to: bounds the memory that nested ones take. */
const mostAliases = 100

type Place = readonly (string | number)[]

export interface FileLayer extends Layer {
  /** False when the file is there but what it sets can't be known. */
  readonly readable: boolean
}

/** Reads a configuration file of YAML 1.2. One that is absent holds no settings, unless it was named and so must be there. */
export function readYamlFile(file: string, mustExist: boolean, schema: SchemaNode, fields: readonly Field[]): FileLayer {
  const read = readText(file)
  if (read === undefined && !mustExist) return { settings: new Map(), problems: [], readable: true }
  if (read?.text === undefined)
    return unreadable([{ path: '', source: file, found: read?.reason ?? 'no such file', allowed: 'a YAML file' }])

  const lineCounter = new LineCounter()
  const document = parseDocument(read.text, {
    version: '1.2',
    schema: 'core',
    strict: true,
    stringKeys: true,
    uniqueKeys: true,
    lineCounter,
    // Both would quote the file.
    prettyErrors: false,
    logLevel: 'error',
  })
  const positionOf = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const syntax = [...document.errors, ...document.warnings].map((error) => syntaxProblem(error, positionOf(error.pos[0])))
  // After a key that stands twice all the rest is still certain, and worth checking in the same go.
  if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) return unreadable(syntax)

  const unset = unsetAliases(document)
  if (unset.length > 0) {
    return unreadable([
      ...syntax,
      ...unset.map((offset) => ({
        path: '',
        source: positionOf(offset),
        found: 'an alias without its anchor',
        allowed: 'an alias after its anchor',
      })),
    ])
  }
  let tree: unknown
  try {
    tree = document.toJS({ maxAliasCount: mostAliases })
  } catch {
    return unreadable([
      ...syntax,
      { path: '', source: file, found: 'aliases that expand to too much', allowed: `at most ${mostAliases} values` },
    ])
  }
  const where = (place: Place, atKey = false): string => positionOf(offsetOf(document, place, atKey))
  const { settings, problems } = collect(schema, tree, fields, where)
  return { settings, problems: [...syntax, ...problems], readable: true }
}

function unreadable(problems: Problem[]): FileLayer {
  return { settings: new Map(), problems, readable: false }
}

/** Undefined when there is no such file. */
function readText(file: string): { text?: string; reason?: string } | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : 'unknown error'
    return code === 'ENOENT' ? undefined : { reason: `a file that can't be read (${String(code)})` }
  }
  if (bytes.length > largestFile) return { reason: `a file of ${bytes.length} bytes` }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { reason: 'bytes that are not UTF-8' }
  }
}

function syntaxProblem(error: YAMLError, source: string): Problem {
  if (error.code === 'DUPLICATE_KEY')
    return { path: '', source, found: 'a key that stands there already', allowed: 'each key once' }
  // What follows a colon quotes the file.
  const [message = ''] = error.message.split(/[:\n]/)
  return { path: '', source, found: `a syntax error: ${message}`, allowed: 'YAML 1.2' }
}

/** Where aliases stand whose anchor is nowhere before them. */
function unsetAliases(document: Document): number[] {
  const offsets: number[] = []
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) === undefined) offsets.push(alias.range?.[0] ?? 0)
    },
  })
  return offsets
}

/** The settings of a file, and what is wrong with its sections. */
function collect(
  root: SchemaNode,
  tree: unknown,
  fields: readonly Field[],
  where: (place: Place, atKey?: boolean) => string,
): Layer {
  const settings = new Map<string, Setting>()
  const problems: Problem[] = []
  const fieldAt = new Map(fields.map((field) => [field.path, field]))

  function section(schema: SchemaNode, value: unknown, segments: readonly string[]): void {
    // `gateway:` with all its lines commented out is null.
    if (value === null || value === undefined) return
    if (!isPlainMap(value)) {
      problems.push({ path: pathText(segments), source: where(segments), found: foundText(value), allowed: allowedText(schema) })
      return
    }
    const properties = schema.properties ?? {}
    for (const [key, item] of Object.entries(value)) {
      const place = [...segments, key]
      const property = Object.hasOwn(properties, key) ? properties[key] : undefined
      const field = fieldAt.get(place.join('.'))
      if (property === undefined) problems.push(unknownSetting(key, Object.keys(properties), segments))
      else if (isSection(property)) section(property, item, place)
      else if (field !== undefined)
        settings.set(field.path, { field, value: item, originOf: (at, atKey) => where([...place, ...at], atKey) })
    }
  }

  function unknownSetting(key: string, siblings: readonly string[], segments: readonly string[]): Problem {
    const { at, found, allowed, suggestion } = unknownKey(key, siblings, segments)
    return { path: pathText(at), source: where(at, true), found, allowed, suggestion: placeElsewhere(key, fields) ?? suggestion }
  }

  section(root, tree, [])
  return { settings, problems }
}

/** For a setting that was put in the wrong section, or written as a path in one key ("gateway.port: 1"). */
function placeElsewhere(key: string, fields: readonly Field[]): string | undefined {
  const name = key.split('.').at(-1)
  const found = fields.filter(({ path, segments }) => path === key || segments.at(-1) === key)
  if (found.length === 0) return undefined
  const sections = found.map(({ segments }) => segments.slice(0, -1).join('.'))
  return sections.includes('') ? `"${name}" stands at the top level.` : `"${name}" stands in the section ${oneOf(sections)}.`
}

/**
 * Where a value, or its key, begins in the text. What has no place of its own (a missing key) has that of what should hold it.
 */
function offsetOf(document: Document, place: Place, atKey: boolean): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const [depth, segment] of place.entries()) {
    const last = depth === place.length - 1
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === segment)
      if (pair === undefined) return offset
      const keyOffset = startOf(pair.key) ?? offset
      node = pair.value
      offset = last && atKey ? keyOffset : (startOf(node) ?? keyOffset)
    } else if (isSeq(node) && typeof segment === 'number') {
      node = node.items[segment]
      offset = startOf(node) ?? offset
    } else {
      return offset
    }
  }
  return offset
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}
