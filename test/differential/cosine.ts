/** Of the angle between two vectors: 1 when they have the same direction. */
export function cosine(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new Error(`A vector has ${a.length} numbers, the other ${b.length}.`)
  const product = a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
  return product / (Math.hypot(...a) * Math.hypot(...b))
}
