import type { CallForm } from './tool-markup.ts'
import { createCallSender, readArguments, type CallContext, type CallOutcome } from './read-call.ts'
import { readShort } from './read-short.ts'
import { peekPastSpace, readMarker, type Reader } from './text-source.ts'

/** UTF-16 length of the longest name or id with the space around it. */
const maxNameLength = 256

/** Reads a name with its arguments after it. `ends`: the markers that may end the call. */
export function* readNamedCall(
  context: CallContext,
  form: Extract<CallForm, { kind: 'named' }>,
  ends: readonly string[],
): Reader<CallOutcome> {
  const { source, toolNames } = context
  yield* peekPastSpace(source)
  if (form.prefix !== '') yield* readMarker(source, [form.prefix.trim()])
  const between = form.between.trim()
  const stops = [form.id, between, ...ends].filter((marker) => marker !== '')
  // Some leave out what should be between the name and its arguments.
  const head = yield* readShort(source, maxNameLength, { markers: stops, chars: '{' })
  if (head === undefined) return 'none'
  const name = head.text.trim()
  if (!toolNames.has(name)) return 'none'
  let stop = head.marker
  if (stop !== '' && stop === form.id) {
    const id = yield* readShort(source, maxNameLength, { markers: [between, ...ends], chars: '{' })
    if (id === undefined) return 'none'
    stop = id.marker
  }
  const sender = createCallSender(context)
  if (ends.includes(stop)) {
    sender.send(name, '{}')
    return 'whole'
  }
  const right = yield* readArguments(source, (text) => sender.send(name, text))
  if (!right) return sender.begun ? 'broken' : 'none'
  const after = form.after.trim()
  if (after !== '') {
    yield* peekPastSpace(source)
    yield* readMarker(source, [after])
  }
  return 'whole'
}
