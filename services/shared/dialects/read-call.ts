import { readJson, readName, readQuotedObject } from './read-json.ts'
import type { PartList } from './part-list.ts'
import { peekPastSpace, readMarker, type Reader, type TextSource } from './text-source.ts'

/**
 * What became of a call. 'whole': it went out. 'broken': it was begun, then malformed or cut short; what went out of its arguments is
 * the beginning of valid JSON. 'none': it was malformed before anything of it went out; the source's recording holds what was read.
 */
export type CallOutcome = 'whole' | 'broken' | 'none'

export interface CallContext {
  source: TextSource
  parts: PartList
  /** The tools that may be called. */
  toolNames: ReadonlySet<string>
}

/** Sends a call once something of its arguments is there, and its arguments from then on. Ends the recording. */
export interface CallSender {
  readonly begun: boolean
  send(name: string, toolArguments: string): void
}

export function createCallSender({ source, parts }: CallContext): CallSender {
  let begun = false
  return {
    get begun() {
      return begun
    },
    send(name, toolArguments) {
      if (!begun) {
        begun = true
        source.recorded()
        parts.call(name)
      }
      parts.toolArguments(toolArguments)
    },
  }
}

/** Reads arguments: a JSON object, one in a string, or null. */
export function* readArguments(source: TextSource, emit: (text: string) => void): Reader<boolean> {
  const first = yield* peekPastSpace(source)
  if (first === '{') return yield* readJson(source, emit)
  if (first === '"') return yield* readQuotedObject(source, emit)
  const isNull = (yield* readMarker(source, ['null'])) !== undefined
  if (isNull) emit('{}')
  return isNull
}

const argumentKeys = new Set(['arguments', 'parameters', 'args', 'input'])
const nameKeys = new Set(['name', 'tool_name', 'function'])
const otherKeys = new Set(['id', 'index', 'type', 'tool_call_id'])

/**
 * Reads {"name": "f", "arguments": {…}}, the keys in any order. `strict`: a key that no call has makes it none; without a marker
 * before it, an object is far more likely an answer in JSON than a call.
 */
export function* readCallObject(context: CallContext, strict: boolean): Reader<CallOutcome> {
  const { source, toolNames } = context
  const sender = createCallSender(context)
  let name: string | undefined
  /** Arguments that came before the name. */
  let early: string | undefined
  let argumentsSeen = false
  const failed = (): CallOutcome => (sender.begun ? 'broken' : 'none')

  if ((yield* peekPastSpace(source)) !== '{') return 'none'
  source.at++
  let next = yield* peekPastSpace(source)
  while (next !== '}') {
    const key = yield* readName(source)
    if (key === undefined || (yield* peekPastSpace(source)) !== ':') return failed()
    source.at++
    next = yield* peekPastSpace(source)
    if (nameKeys.has(key) && next === '"') {
      if (name !== undefined) return failed()
      name = yield* readName(source)
      if (name === undefined || !toolNames.has(name)) return failed()
      if (early !== undefined) sender.send(name, early)
    } else if (argumentKeys.has(key)) {
      if (argumentsSeen) return failed()
      argumentsSeen = true
      const known = name
      const right = yield* readArguments(source, (text) => {
        if (known === undefined) early = (early ?? '') + text
        else sender.send(known, text)
      })
      if (!right) return failed()
    } else {
      if (strict && !otherKeys.has(key)) return failed()
      if (!(yield* readJson(source, () => {}))) return failed()
    }
    next = yield* peekPastSpace(source)
    if (next === '}') break
    if (next !== ',') return failed()
    source.at++
    // A name must follow the comma: readName sees to it.
    next = yield* peekPastSpace(source)
    if (next === '}') return failed()
  }
  source.at++
  if (name === undefined) return failed()
  if (!sender.begun) sender.send(name, '{}')
  return 'whole'
}
