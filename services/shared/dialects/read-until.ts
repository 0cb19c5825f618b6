import { isSpace } from './json-scanner.ts'
import { readMarker, type Reader, type TextSource } from './text-source.ts'

/** White space before a marker is held back up to this length; a longer run is passed on. */
export const maxHeldSpace = 256

export interface UntilOptions {
  /** None of them empty. */
  markers: readonly string[]
  /** Where the text before the marker goes. */
  emit: (text: string) => void
  /** White space at the beginning is left out. */
  trim: boolean
  /** White space that was read before, and is text unless the marker comes next. */
  space?: string
}

export interface Found {
  marker: string
  /** The white space before the marker, which was not passed on. */
  space: string
}

/** Passes the text on up to a marker, which is read. Undefined if none comes: then all the text was passed on. */
export function* readUntil(source: TextSource, options: UntilOptions): Reader<Found | undefined> {
  const { markers, emit } = options
  const firsts = markers.length === 0 ? undefined : anyOf(markers.map((marker) => marker.charAt(0)))
  let { trim, space = '' } = options
  /** In a run of white space that was too long to be held back. */
  let longRun = false

  const pass = (from: number, to: number): void => {
    const { text } = source
    let start = from
    if (trim) {
      while (start < to && isSpace(text.charAt(start))) start++
      if (start === to) return
      trim = false
    }
    let end = to
    if (firsts !== undefined) while (end > start && isSpace(text.charAt(end - 1))) end--
    if (end > start) {
      emit(space + text.slice(start, end))
      space = ''
      longRun = false
    }
    space += text.slice(end, to)
    if (longRun || space.length > maxHeldSpace) {
      if (space !== '') emit(space)
      space = ''
      longRun = true
    }
  }

  for (;;) {
    const from = source.at
    const candidate = firsts === undefined ? -1 : indexOf(source.text, firsts, from)
    source.at = candidate < 0 ? source.text.length : candidate
    if (source.at > from) pass(from, source.at)
    if (candidate < 0) {
      if (source.ended) {
        if (space !== '') emit(space)
        return undefined
      }
      yield
      continue
    }
    const marker = yield* readMarker(source, markers)
    if (marker !== undefined) return { marker, space }
    source.at++
    pass(source.at - 1, source.at)
  }
}

function anyOf(chars: readonly string[]): RegExp {
  return new RegExp(`[${chars.map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}]`, 'g')
}

function indexOf(text: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(text)?.index ?? -1
}
