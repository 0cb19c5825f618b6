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
 * that begins first. Held back is only what may still be the beginning of one.
 */
export function createStopSequences(stops: readonly string[]): StopSequences {
  if (stops.length === 0) return { push: (text) => ({ text, stop: undefined }), end: () => '' }
  let held = ''

  return {
    push(text) {
      const whole = held + text
      const found = firstComplete(whole, stops)
      if (found !== undefined) {
        held = ''
        return { text: whole.slice(0, found.begin), stop: found.stop }
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

/** The sequence that is complete first, and where it begins. */
function firstComplete(text: string, stops: readonly string[]): { stop: string; begin: number } | undefined {
  let first: { stop: string; begin: number } | undefined
  let end = Number.POSITIVE_INFINITY
  for (const stop of stops) {
    const begin = text.indexOf(stop)
    if (begin < 0) continue
    const after = begin + stop.length
    if (after < end || (after === end && (first === undefined || begin < first.begin))) {
      first = { stop, begin }
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
