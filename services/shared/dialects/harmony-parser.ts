import { createCallSender, readArguments, type CallContext } from './read-call.ts'
import { readUntil } from './read-until.ts'
import { readShort } from './read-short.ts'
import { peekPastSpace, readMarker, type Reader, type TextSource } from './text-source.ts'

const ends = ['<|end|>', '<|call|>', '<|return|>', '<|start|>']
/** Longest header of a message. */
const maxHeaderLength = 512

/**
 * Reads OpenAI's harmony: a row of messages `<|start|>assistant to=functions.f<|channel|>commentary json<|message|>…<|call|>`. The
 * prompt ends after the first "<|start|>assistant". Messages to a tool are calls, whatever their channel; of the others those on the
 * analysis channel are reasoning, and the rest is text. Two messages of a kind are an empty line apart.
 */
export function* readHarmony(context: CallContext, reasoningOpen: boolean): Reader<void> {
  const { source, parts, toolNames } = context
  let last: 'text' | 'reasoning' | undefined
  const content = function* (kind: 'text' | 'reasoning'): Reader<void> {
    let apart = last === kind ? '\n\n' : ''
    const emit = (text: string): void => {
      parts[kind](apart + text)
      apart = ''
      last = kind
    }
    const found = yield* readUntil(source, { markers: ends, emit, trim: false })
    if (found === undefined) return
    if (found.space !== '') emit(found.space)
    if (found.marker === '<|start|>') source.at -= found.marker.length
  }

  if (reasoningOpen) yield* content('reasoning')
  for (;;) {
    source.record()
    const header = yield* readHeader(source)
    const recipient = /\bto=functions\.([^\s<]+)/.exec(header ?? '')?.[1]
    const known = recipient !== undefined && toolNames.has(recipient)
    if (header === undefined || (/\bto=(?!assistant\b)/.test(header) && !known)) {
      parts.text(source.recorded())
      if (source.ended && source.at === source.text.length) return
      yield* content('text')
      continue
    }
    if (known) {
      last = undefined
      const sender = createCallSender(context)
      const right = yield* readArguments(source, (text) => sender.send(recipient, text))
      if (sender.begun && !right) parts.breakOff()
      if (!sender.begun && (yield* readMarker(source, ends)) !== undefined) {
        sender.send(recipient, '{}')
        continue
      }
      if (!sender.begun) {
        parts.text(source.recorded())
        yield* content('text')
      } else yield* readUntil(source, { markers: ends, emit: () => {}, trim: false })
      continue
    }
    source.recorded()
    yield* content(header.includes('<|channel|>analysis') ? 'reasoning' : 'text')
  }
}

/** The header of the next message, "<|message|>" at its end not included. Undefined if what comes is none. */
function* readHeader(source: TextSource): Reader<string | undefined> {
  yield* peekPastSpace(source)
  const begin = yield* readMarker(source, ['<|start|>', '<|channel|>', 'to='])
  if (begin === undefined) return undefined
  const rest = yield* readShort(source, maxHeaderLength, { markers: ['<|message|>'], chars: '' })
  return rest === undefined ? undefined : begin + rest.text
}
