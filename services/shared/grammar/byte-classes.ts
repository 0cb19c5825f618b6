import type { Program } from './program.ts'

export interface ByteClasses {
  readonly classes: Uint8Array
  readonly count: number
}

/** Puts bytes that no node tells apart into one class. */
export function createByteClasses(program: Program): ByteClasses {
  const borders = new Uint8Array(257)
  // The space is always told apart: it may be left out before an answer.
  borders.fill(1, 0x20, 0x22)
  for (const node of program.nodes) {
    if (node.kind !== 'bytes') continue
    for (const { low, high } of node.edges) {
      borders[low] = 1
      borders[high + 1] = 1
    }
  }
  const classes = new Uint8Array(256)
  let count = 1
  for (let byte = 1; byte < 256; byte++) {
    if (borders[byte] === 1) count++
    classes[byte] = count - 1
  }
  return { classes, count }
}
