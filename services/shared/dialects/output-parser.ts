import type { Dialect } from './dialect.ts'
import { readHarmony } from './harmony-parser.ts'
import type { OutputPart } from './output-part.ts'
import { createPartList, type PartList } from './part-list.ts'
import { readUntil } from './read-until.ts'
import { createTextSource, peekPastSpace, readMarker, type Reader, type TextSource } from './text-source.ts'
import { readAnswer } from './tool-call-reader.ts'

export interface OutputParserOptions {
  /** Tools that may be called; empty: tool markup is text. */
  toolNames: readonly string[]
  /** The prompt ended inside the reasoning. */
  reasoningOpen: boolean
}

/**
 * Reads a model's output as it comes. Pure: how the text is cut into pieces makes no difference but how early parts leave.
 *
 * Reasoning is what stands between the dialect's marks when it comes first. Calls are told by the dialect's markers, or, where a
 * dialect writes bare JSON, by being the whole beginning of the answer. White space around reasoning and calls is left out; all
 * other text is passed on as it is. A call leaves when its name is known to be a tool's and its arguments have begun. What can't be
 * a call is text, from its marker on. One that turns out malformed later ends there, its arguments incomplete, and the rest of it up
 * to the next marker is dropped.
 *
 * Held back are: the beginning of a marker, at most maxHeldSpace of white space, and at most maxHeldBack of what may be a call.
 */
export interface OutputParser {
  push(text: string): OutputPart[]
  end(): OutputPart[]
  /** A call of which something has left turned out malformed, or was not ended. */
  readonly brokenCall: boolean
}

export function createOutputParser(dialect: Dialect, options: OutputParserOptions): OutputParser {
  const source = createTextSource()
  const parts = createPartList()
  const toolNames = new Set(options.toolNames)
  const reader = dialect.harmony
    ? readHarmony({ source, parts, toolNames }, options.reasoningOpen)
    : readOutput(source, parts, dialect, toolNames, options.reasoningOpen)
  reader.next()
  return {
    push(text) {
      source.feed(text)
      reader.next()
      return parts.take()
    },
    get brokenCall() {
      return parts.brokenOff
    },
    end() {
      source.finish()
      reader.next()
      return parts.take()
    },
  }
}

function* readOutput(
  source: TextSource,
  parts: PartList,
  dialect: Dialect,
  toolNames: ReadonlySet<string>,
  reasoningOpen: boolean,
): Reader<void> {
  const { reasoning, wrapping } = dialect
  const tools = toolNames.size > 0 ? dialect.tools : undefined
  let space = ''
  let trim = false
  let wrapped = false
  if (reasoning !== undefined) {
    const begin = reasoning.begin.trim()
    source.record()
    yield* peekPastSpace(source)
    const found = yield* readMarker(source, [begin])
    const read = source.recorded()
    if (found !== undefined || reasoningOpen) {
      const emit = (text: string): void => parts.reasoning(text)
      yield* readUntil(source, { markers: [reasoning.end.trim()], emit, trim: true })
      trim = true
      yield* peekPastSpace(source)
      wrapped = wrapping !== undefined && (yield* readMarker(source, [wrapping.begin])) !== undefined
    } else space = read
  }
  const ignored = wrapped && wrapping !== undefined ? [wrapping.end] : []
  yield* readAnswer({ source, parts, toolNames }, tools, { space, trim, ignored })
}
