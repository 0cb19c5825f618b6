export interface StopMatch {
  /** Text that is certainly before any stop sequence. */
  text: string
  /** The stop sequence that has come; nothing may be pushed after that. */
  stop: string | undefined
}

/** Finds the first stop sequence in a text that comes in pieces. */
export interface StopSequences {
  push(text: string): StopMatch
  /** The text that was held back, when the end has come without a stop sequence. */
  end(): string
}

/**
 * The sequence that is complete first counts, whatever pieces the text comes in; of two that end at the same place, the one
 * that begins first. Held back is only what may still be the beginning of one. Behind the first complete text of `until` none counts.
 */
export function createStopSequences(stops: readonly string[], until: readonly string[] = []): StopSequences {
  if (stops.length === 0) return { push: (text) => ({ text, stop: undefined }), end: () => '' }
  let held = ''
  const reachesUntil = createMarkFinder(until)
  let free = false

  return {
    push(text) {
      if (free) return { text, stop: undefined }
      const whole = held + text
      const found = firstComplete(whole, stops)
      const freeFrom = reachesUntil(text)
      if (found !== undefined && (freeFrom === undefined || found.end <= held.length + freeFrom)) {
        held = ''
        return { text: whole.slice(0, found.begin), stop: found.stop }
      }
      if (freeFrom !== undefined) {
        free = true
        held = ''
        return { text: whole, stop: undefined }
      }
      const safe = whole.length - longestBeginning(whole, stops)
      held = whole.slice(safe)
      return { text: whole.slice(0, safe), stop: undefined }
    },
    end() {
      const text = held
      held = ''
      return text
    },
  }
}

/** Told of each piece of a text, says where in the piece the first of the marks is complete; undefined when none is. */
function createMarkFinder(marks: readonly string[]): (piece: string) => number | undefined {
  const kept = Math.max(0, ...marks.map((mark) => mark.length - 1))
  let before = ''
  return (piece) => {
    if (marks.length === 0) return undefined
    const text = before + piece
    const found = firstComplete(text, marks)
    if (found !== undefined) return found.end - before.length
    before = kept === 0 ? '' : text.slice(-kept)
    return undefined
  }
}

/** The sequence that is complete first, and where it begins. */
function firstComplete(text: string, stops: readonly string[]): { stop: string; begin: number; end: number } | undefined {
  let first: { stop: string; begin: number; end: number } | undefined
  let end = Number.POSITIVE_INFINITY
  for (const stop of stops) {
    const begin = text.indexOf(stop)
    if (begin < 0) continue
    const after = begin + stop.length
    if (after < end || (after === end && (first === undefined || begin < first.begin))) {
      first = { stop, begin, end: after }
      end = after
    }
  }
  return first
}

/** Length of the longest end of the text that is a beginning of a stop sequence. */
function longestBeginning(text: string, stops: readonly string[]): number {
  let longest = 0
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length -= 1) {
      if (text.endsWith(stop.slice(0, length))) longest = length
    }
  }
  return longest
}
