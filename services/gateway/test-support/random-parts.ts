import fc from 'fast-check'
import type { OutputPart } from '../../shared/dialects/output-part.ts'

/** What an output parser gives for some answer: reasoning, text and calls, in pieces. */
export const randomParts: fc.Arbitrary<OutputPart[]> = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constant('reasoning' as const), text: fc.string({ minLength: 1, maxLength: 5, unit: 'grapheme' }) }),
      fc.record({ kind: fc.constant('text' as const), text: fc.string({ minLength: 1, maxLength: 5, unit: 'grapheme' }) }),
      // Whole, or cut by the token limit.
      fc.record({ kind: fc.constant('call' as const), pieces: fc.integer({ min: 0, max: 4 }).map((count) => ['{"a"', ':', '1', '}'].slice(0, count)) }),
    ),
    { maxLength: 8 },
  )
  .map((items) => {
    let index = -1
    return items.flatMap((item): OutputPart[] => {
      if (item.kind !== 'call') return [item]
      index += 1
      return [{ kind: 'tool_call', index, name: `f${index}` }, ...item.pieces.map((text): OutputPart => ({ kind: 'tool_arguments', index, text }))]
    })
  })

/** The same parts in groups of some sizes, as decode steps bring them. */
export function grouped(parts: readonly OutputPart[], sizes: readonly number[]): OutputPart[][] {
  const groups: OutputPart[][] = []
  let at = 0
  for (let turn = 0; at < parts.length; turn++) {
    const size = Math.max(1, sizes[turn % Math.max(1, sizes.length)] ?? 1)
    groups.push(parts.slice(at, at + size))
    at += size
  }
  return groups
}
