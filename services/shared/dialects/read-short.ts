import { readable, readMarker, type Reader, type TextSource } from './text-source.ts'

export interface ShortText {
  text: string
  /** The marker that ended it, which was read. Empty if it was one of the characters, which was not. */
  marker: string
}

/** Reads a text of at most `most` up to one of the markers or characters. Undefined if none is near enough. */
export function* readShort(
  source: TextSource,
  most: number,
  { markers, chars }: { markers: readonly string[]; chars: string },
): Reader<ShortText | undefined> {
  let text = ''
  for (;;) {
    if (source.at >= source.end && !(yield* readable(source))) return undefined
    const marker = yield* readMarker(source, markers)
    if (marker !== undefined) return { text, marker }
    const char = source.text.charAt(source.at)
    if (chars.includes(char)) return { text, marker: '' }
    if (text.length === most) return undefined
    text += char
    source.at++
  }
}
