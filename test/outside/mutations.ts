import fc from 'fast-check'

const pieces = ['', '\n', '\n\n', ' ', '  ', '\t', '\r', '\0', '+', '=', '—', '— ', '- ', 'A', '0', '1', '-1', '\u00A0', '\u0085', '\uFEFF', '\u2028', 'index ', 'extra ', 'example.com/x', 'AAAAAAAA', '9007199254740993', '18446744073709551616']

/** Texts that are almost `good`: with something put in, taken out, doubled or in another place, once or a few times. The same ones each time. */
export function mutationsOf(good: string, count: number): string[] {
  const change = fc.record({ at: fc.nat(good.length), length: fc.constantFrom(0, 1, 2, 3, 40), put: fc.constantFrom(...pieces), again: fc.boolean() })
  const changed = fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) =>
    changes.reduce((text, { at, length, put, again }) => {
      const cut = text.slice(at, at + length)
      return text.slice(0, at) + (again ? cut + cut : put) + text.slice(at + length)
    }, good),
  )
  return fc.sample(changed, { numRuns: count, seed: 1 }).filter((text) => text !== good)
}
