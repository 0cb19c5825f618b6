import { isSpace } from './json-scanner.ts'

/**
 * A text that comes in pieces, read by generators: they yield when they need more of it. Nothing they decide depends on where one
 * piece ends and the next begins, since they wait as long as what has come could still turn out otherwise.
 */
export type Reader<Result> = Generator<undefined, Result, undefined>

export interface TextSource {
  /** What has come; read up to `at`. */
  readonly text: string
  at: number
  /** Nothing more comes. */
  readonly ended: boolean
  /** How far `text` may be read now: to its end, or to where the recording is full. */
  readonly end: number
  feed(text: string): void
  finish(): void
  /** From here on what is read is kept, up to a limit: then the source behaves as if it ended there. */
  record(): void
  /** What was read since `record`; ends the recording. */
  recorded(): string
}

/** UTF-16 length of the longest text that is held back until it is clear whether it is a call. */
export const maxHeldBack = 65_536

export function createTextSource(): TextSource {
  let text = ''
  let ended = false
  /** Of the recording, what was read from pieces that are gone. */
  let kept = ''
  /** Where the recording goes on in `text`; -1 for none. */
  let recordFrom = -1
  return {
    at: 0,
    get text() {
      return text
    },
    get ended() {
      return ended
    },
    get end() {
      if (recordFrom < 0) return text.length
      return Math.min(text.length, Math.max(this.at, recordFrom + maxHeldBack - kept.length))
    },
    feed(more) {
      if (recordFrom >= 0) {
        kept += text.slice(recordFrom, this.at)
        recordFrom = 0
      }
      text = this.at === text.length ? more : text.slice(this.at) + more
      this.at = 0
    },
    finish() {
      ended = true
    },
    record() {
      kept = ''
      recordFrom = this.at
    },
    recorded() {
      const all = recordFrom < 0 ? '' : kept + text.slice(recordFrom, this.at)
      kept = ''
      recordFrom = -1
      return all
    },
  }
}

/** Waits until a character can be read. False if none can: at the end, or when the recording is full. */
export function* readable(source: TextSource): Reader<boolean> {
  while (source.at >= source.end) {
    if (source.ended || source.at < source.text.length) return false
    yield
  }
  return true
}

/** The next character after white space, which is read; it itself is not. Empty if there is none. */
export function* peekPastSpace(source: TextSource): Reader<string> {
  for (;;) {
    if (source.at >= source.end && !(yield* readable(source))) return ''
    const char = source.text.charAt(source.at)
    if (!isSpace(char)) return char
    source.at++
  }
}

/**
 * Reads the marker that stands here, if any does. Where one marker is the beginning of another, the one that comes first in the list
 * is preferred.
 */
export function* readMarker(source: TextSource, markers: readonly string[]): Reader<string | undefined> {
  for (;;) {
    let undecided = false
    for (const marker of markers) {
      if (source.text.startsWith(marker, source.at)) {
        if (undecided) break
        source.at += marker.length
        return marker
      }
      undecided ||= !source.ended && isBeginning(source, marker)
    }
    if (!undecided) return undefined
    yield
  }
}

/** Whether all that there is to read is a beginning of the marker. */
function isBeginning({ text, at }: TextSource, marker: string): boolean {
  return text.length - at < marker.length && marker.startsWith(text.slice(at))
}
