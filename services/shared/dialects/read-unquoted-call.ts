import type { CallForm } from './tool-markup.ts'
import { maxJsonDepth } from './json-scanner.ts'
import { createCallSender, type CallContext, type CallOutcome } from './read-call.ts'
import { readJson, readName } from './read-json.ts'
import { readUntil } from './read-until.ts'
import { readShort } from './read-short.ts'
import { peekPastSpace, readMarker, type Reader, type TextSource } from './text-source.ts'

/**
 * Reads call:f{key:<|"|>text<|"|>,other:[1,true]} and sends its arguments as JSON. What is JSON in it is taken as that, so that a
 * grammar may ask for arguments in JSON.
 */
export function* readUnquotedCall(
  context: CallContext,
  form: Extract<CallForm, { kind: 'unquoted' }>,
): Reader<CallOutcome> {
  const { source, toolNames } = context
  const sender = createCallSender(context)
  if ((yield* readMarker(source, [form.prefix])) === undefined) return 'none'
  const name = yield* readWord(source, '{')
  if (name === undefined || !toolNames.has(name)) return 'none'
  const right = yield* readObject({ source, quote: form.quote, emit: (text) => sender.send(name, text) }, 1)
  if (right) return 'whole'
  return sender.begun ? 'broken' : 'none'
}

interface ValueContext {
  source: TextSource
  quote: string
  emit: (json: string) => void
}

function* readValue(context: ValueContext, depth: number): Reader<boolean> {
  const { source, quote, emit } = context
  const first = yield* peekPastSpace(source)
  if (first === '{' || first === '[') {
    if (depth >= maxJsonDepth) return false
    return first === '{' ? yield* readObject(context, depth + 1) : yield* readList(context, depth + 1)
  }
  if (first === '"') return yield* readJson(source, emit)
  if ((yield* readMarker(source, [quote])) !== undefined) return yield* readText(context)
  const word = yield* readWord(source, ',]}')
  if (word === undefined) return false
  // Jinja writes a null like Python does.
  emit(word === 'None' ? 'null' : isLiteral(word) ? word : JSON.stringify(word))
  return true
}

function* readObject(context: ValueContext, depth: number): Reader<boolean> {
  const { source, quote, emit } = context
  return yield* readItems(context, '{}', function* (separator) {
    const first = yield* peekPastSpace(source)
    const key = first === '"' ? yield* readName(source) : yield* readWord(source, ':,}')
    if (key === undefined || (yield* peekPastSpace(source)) !== ':') return false
    source.at++
    emit(`${separator}${JSON.stringify(key.replaceAll(quote, ''))}:`)
    return yield* readValue(context, depth)
  })
}

function* readList(context: ValueContext, depth: number): Reader<boolean> {
  return yield* readItems(context, '[]', function* (separator) {
    if (separator !== '') context.emit(separator)
    return yield* readValue(context, depth)
  })
}

/** What is between the brackets, divided by commas. */
function* readItems(
  { source, emit }: ValueContext,
  brackets: '{}' | '[]',
  readItem: (separator: '' | ',') => Reader<boolean>,
): Reader<boolean> {
  const close = brackets.charAt(1)
  source.at++
  emit(brackets.charAt(0))
  let next = yield* peekPastSpace(source)
  if (next !== close) {
    if (!(yield* readItem(''))) return false
    next = yield* peekPastSpace(source)
  }
  while (next === ',') {
    source.at++
    if (!(yield* readItem(','))) return false
    next = yield* peekPastSpace(source)
  }
  if (next !== close) return false
  source.at++
  emit(close)
  return true
}

/** The text up to the closing quote. */
function* readText({ source, quote, emit }: ValueContext): Reader<boolean> {
  emit('"')
  const found = yield* readUntil(source, { markers: [quote], emit: (text) => emit(escape(text)), trim: false })
  if (found === undefined) return false
  emit(`${escape(found.space)}"`)
  return true
}

/** As JSON.stringify, but half a character whose other half is to come stays as it is. */
function escape(text: string): string {
  return text.replaceAll(/["\\\p{Cc}]/gu, (char) => JSON.stringify(char).slice(1, -1))
}

const maxWordLength = 256

/** The text before one of the characters. Undefined if there is no text, or none of them is near. */
function* readWord(source: TextSource, chars: string): Reader<string | undefined> {
  const word = (yield* readShort(source, maxWordLength, { markers: [], chars }))?.text.trim()
  return word === '' ? undefined : word
}

function isLiteral(word: string): boolean {
  return /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/.test(word)
}
