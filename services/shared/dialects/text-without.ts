import { literal } from '../grammar/builder.ts'

/** Any character but these. */
function anyBut(chars: readonly string[]): string {
  return `[^${chars.map(escapeChar).join('')}]`
}

function escapeChar(char: string): string {
  const hex = (char.codePointAt(0) ?? 0).toString(16)
  if (hex.length <= 2) return `\\x${hex.padStart(2, '0')}`
  return hex.length <= 4 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}

/**
 * Any text up to the marker. `before` is all that the marker doesn't come in, short of a beginning of it; `partial` what of the
 * marker may then have begun without becoming one. So the text up to a marker is `before partial marker`, a text without one is
 * `before partial`. The marker's first character must not come in it again.
 */
export function textWithout(marker: string): { before: string; partial: string } {
  const chars = marker.split('')
  const [first = '', ...rest] = chars
  if (first === '' || rest.includes(first)) throw new TypeError(`no marker to look for: ${marker}`)
  // A beginning of the marker that is broken off by another: "<tool<tool_c<".
  const begun = rest.slice(0, -1).reduceRight((inner, char) => ` (${literal(char)}${inner})?`, '')
  const partial = `(${literal(first)}${begun})*`
  // The last of these, broken off by what can't begin one.
  const broken = rest.map((char, i) => {
    const matched = rest.slice(0, i).join('')
    return `${matched === '' ? '' : `${literal(matched)} `}${anyBut([first, char])}`
  })
  if (broken.length === 0) return { before: `${anyBut([first])}*`, partial: '' }
  return { before: `(${anyBut([first])} | ${partial} ${literal(first)} (${broken.join(' | ')}))*`, partial }
}
