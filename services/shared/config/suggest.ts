/**
 * The candidate that a misspelt name most likely stands for, or undefined. Case, "_" and "-" don't count, and up to a third of
 * the letters may differ; else the only candidate that begins with the name, or with which the name begins. Of equally near
 * ones the first wins.
 */
export function suggest(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = fold(name)
  if (wanted === '' || wanted.length > 100) return undefined
  let nearest: string | undefined
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1
  const alike: string[] = []
  for (const candidate of candidates) {
    const folded = fold(candidate)
    const distance = editDistance(wanted, folded)
    // Nothing in common but the length: "a" is not a misspelt "b".
    if (distance < least && distance < Math.max(wanted.length, folded.length)) {
      nearest = candidate
      least = distance
    }
    const beginsAlike = folded.startsWith(wanted) || wanted.startsWith(folded)
    if (beginsAlike && Math.min(wanted.length, folded.length) >= 3) alike.push(candidate)
  }
  return nearest ?? (alike.length === 1 ? alike[0] : undefined)
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[_\-\s]/g, '')
}

/**
 * Damerau–Levenshtein distance in its optimal string alignment form: insertions, deletions, substitutions and swaps of
 * neighbours that turn one text into the other, no part being edited twice. Counts UTF-16 units.
 */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const substitution = at(last, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1)
      let best = Math.min(substitution, at(last, column) + 1, at(current, column - 1) + 1)
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (swapped) best = Math.min(best, at(beforeLast, column - 2) + 1)
      current.push(best)
    }
    beforeLast = last
    last = current
  }
  return at(last, to.length)
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY
}
