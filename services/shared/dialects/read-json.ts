import { createJsonScanner } from './json-scanner.ts'
import { createStringDecoder } from './json-string.ts'
import { readable, type Reader, type TextSource } from './text-source.ts'

/** Passes a JSON value's text on as it comes. False if it is malformed or cut short; what was passed on is right up to there. */
export function* readJson(source: TextSource, emit: (text: string) => void): Reader<boolean> {
  const scanner = createJsonScanner()
  while (scanner.state === 'open') {
    if (source.at >= source.end && !(yield* readable(source))) return false
    const from = source.at
    source.at = scanner.scan(source.text, from, source.end)
    if (source.at > from) emit(source.text.slice(from, source.at))
  }
  return scanner.state === 'done'
}

/** UTF-16 length of the longest JSON text of an object's key or a tool's name. */
const maxNameLength = 1024

/** Reads a JSON string that is a key or a name. Undefined if there is none here, or too long a one. */
export function* readName(source: TextSource): Reader<string | undefined> {
  const scanner = createJsonScanner()
  let json = ''
  while (scanner.state === 'open') {
    if (source.at >= source.end && !(yield* readable(source))) return undefined
    if (json === '' && source.text.charAt(source.at) !== '"') return undefined
    const to = Math.min(source.end, source.at + maxNameLength - json.length)
    if (to === source.at) return undefined
    const from = source.at
    source.at = scanner.scan(source.text, from, to)
    json += source.text.slice(from, source.at)
  }
  return scanner.state === 'done' ? String(JSON.parse(json)) : undefined
}

/**
 * Passes on the JSON object that is spelt in a JSON string, as some models write arguments. An empty string stands for {}.
 * False as in readJson; the whole string is read even so.
 */
export function* readQuotedObject(source: TextSource, emit: (text: string) => void): Reader<boolean> {
  const outer = createJsonScanner()
  const inner = createJsonScanner()
  const decoder = createStringDecoder()
  let empty = true
  let wrong = false
  const take = (decoded: string): void => {
    const text = empty ? decoded.trimStart() : decoded
    if (text === '' || wrong) return
    wrong = empty && !text.startsWith('{')
    empty = false
    if (wrong) return
    const taken = inner.scan(text, 0, text.length)
    if (taken > 0) emit(text.slice(0, taken))
    wrong = text.slice(taken).trim() !== ''
  }
  while (outer.state === 'open') {
    if (source.at >= source.end && !(yield* readable(source))) return false
    const from = source.at
    source.at = outer.scan(source.text, from, source.end)
    take(decoder.decode(source.text.slice(from, source.at)))
  }
  if (outer.state === 'done' && empty) emit('{}')
  return outer.state === 'done' && !wrong && (empty || inner.state === 'done')
}
