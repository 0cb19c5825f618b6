import type { Dialect } from './dialect.ts'
import type { ToolMarkup } from './tool-markup.ts'
import { readCallObject, type CallContext, type CallOutcome } from './read-call.ts'
import { readNamedCall } from './read-named-call.ts'
import { readUnquotedCall } from './read-unquoted-call.ts'
import { readUntil, type Found } from './read-until.ts'
import { peekPastSpace, readMarker, type Reader } from './text-source.ts'

/** What comes before calls, as it is looked for in the text, and what may come after them. */
interface Opening {
  markup: ToolMarkup
  marker: string
  closing: readonly string[]
  /** It is before all calls, and each has a marker of its own. */
  outer: boolean
}

export interface AnswerStart {
  /** White space read already; text, unless a call comes next. */
  space: string
  trim: boolean
  /** Markers that are left out. */
  ignored: readonly string[]
}

/** Reads the answer after the reasoning: text with calls in it. Without markup for these, all of it is text. */
export function* readAnswer(context: CallContext, markup: ToolMarkup | undefined, start: AnswerStart): Reader<void> {
  const { source, parts } = context
  const openings = markup === undefined ? [] : openingsOf(markup)
  const markers = [...openings.map(({ marker }) => marker), ...start.ignored]
  const closings = [...new Set(openings.flatMap(({ closing }) => closing))]
  let { space, trim } = start
  let opening: Opening | undefined
  /** After a broken call: what comes up to the next marker is dropped. */
  let dropping = false

  if (markup?.bare === true) {
    source.record()
    const first = yield* peekPastSpace(source)
    space += source.recorded()
    if (first === '{' || first === '[') opening = { markup, marker: '', closing: [], outer: false }
  }
  for (;;) {
    if (opening === undefined) {
      const emit = dropping ? (): void => {} : (text: string): void => parts.text(text)
      const found: Found | undefined = yield* readUntil(source, { markers: dropping ? [...markers, ...closings] : markers, emit, trim, space })
      if (found === undefined) return
      space = found.space
      opening = openings.find(({ marker }) => marker === found.marker)
      if (opening === undefined) {
        // The end of a broken call, or one that is left out.
        dropping = false
        trim = true
        space = ''
        continue
      }
    }
    const calls: Calls = yield* readCalls(context, opening, space + opening.marker)
    const { outcome, unused } = calls
    if (outcome === 'none' && !dropping) parts.text(unused)
    if (outcome !== 'none') dropping = outcome === 'broken'
    if (outcome === 'broken') parts.breakOff()
    if (outcome === 'whole') yield* readClosings(context, opening.closing)
    trim = outcome !== 'none'
    space = ''
    opening = undefined
  }
}

/** The texts that calls begin with. A dialect that writes a call's bare JSON begins it with none. */
export function callBeginnings({ harmony, tools }: Dialect): string[] {
  if (harmony) return ['to=functions.']
  return tools === undefined ? [] : openingsOf(tools).map(({ marker }) => marker)
}

function openingsOf(markup: ToolMarkup): Opening[] {
  const { calls, call, also } = markup
  const opening = (begin: string, ends: readonly string[], outer = false): Opening => {
    return { markup, marker: begin.trim(), closing: ends.map((end) => end.trim()).filter((end) => end !== ''), outer }
  }
  const openings = [
    opening(calls.begin, [call.end, calls.end], call.begin !== ''),
    opening(call.begin, [call.end, calls.end]),
    ...also.map(({ begin, end }) => opening(begin, [end])),
  ]
  return openings.filter(({ marker }) => marker !== '')
}

interface Calls {
  outcome: CallOutcome
  /** With 'none': what was read of what is no call. */
  unused: string
}

/** Reads the calls behind an opening; `before` is text if there are none. */
function* readCalls(context: CallContext, opening: Opening, before: string): Reader<Calls> {
  const { source } = context
  const { markup } = opening
  source.record()
  if (opening.outer) {
    yield* peekPastSpace(source)
    if ((yield* readMarker(source, [markup.call.begin.trim()])) === undefined) {
      return { outcome: 'none', unused: before + source.recorded() }
    }
  }
  const first = yield* peekPastSpace(source)
  if (first === '{' || first === '[') return yield* readObjects(context, first === '[', markup.bare, before)
  const outcome = yield* readByForm(context, opening)
  return { outcome, unused: outcome === 'none' ? before + source.recorded() : '' }
}

function* readByForm(context: CallContext, { markup: { form }, closing }: Opening): Reader<CallOutcome> {
  if (form.kind === 'named') return yield* readNamedCall(context, form, closing)
  return form.kind === 'unquoted' ? yield* readUnquotedCall(context, form) : 'none'
}

/** Reads one call after the other; `list`: they are in a JSON array. */
function* readObjects(context: CallContext, list: boolean, strict: boolean, before: string): Reader<Calls> {
  const { source } = context
  if (list) source.at++
  let unusedBefore = before
  for (;;) {
    const outcome = yield* readCallObject(context, strict)
    if (outcome !== 'whole') return { outcome, unused: outcome === 'none' ? unusedBefore + source.recorded() : '' }
    unusedBefore = ''
    source.record()
    const next = yield* peekPastSpace(source)
    const more = list ? next === ',' : next === ';' || next === '{'
    if (!more) {
      if (list && next === ']') source.at++
      source.recorded()
      return { outcome, unused: '' }
    }
    if (next !== '{') source.at++
  }
}

function* readClosings({ source }: CallContext, closing: readonly string[]): Reader<void> {
  if (closing.length === 0) return
  do yield* peekPastSpace(source)
  while ((yield* readMarker(source, closing)) !== undefined)
}
