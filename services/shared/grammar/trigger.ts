import type { ByteRange } from './code-points.ts'
import { addNode, type Edge, pop, type Program } from './program.ts'

/** Puts before a program that anything may come until one of the texts has (Aho-Corasick); only then its root holds. */
export function addTrigger(program: Program, texts: readonly string[]): void {
  const needles = texts.map((text) => Buffer.from(text))
  if (needles.some(({ length }) => length === 0)) return

  // Each prefix of a text is a node that says how much of which text the bytes so far end with.
  const prefixes = new Map<string, { readonly name: string; readonly edges: Edge[]; readonly node: number }>()
  for (const needle of needles) {
    for (let length = 0; length < needle.length; length++) {
      const name = needle.toString('latin1', 0, length)
      if (prefixes.has(name)) continue
      const edges: Edge[] = []
      prefixes.set(name, { name, edges, node: addNode(program, { kind: 'bytes', edges, waiting: true }) })
    }
  }
  const begin = addNode(program, { kind: 'call', procedure: program.root, next: pop })
  const spellings = needles.map((needle) => needle.toString('latin1'))
  for (const { name, edges } of prefixes.values()) {
    const targets = Array.from({ length: 256 }, (_, byte) => {
      const read = name + String.fromCharCode(byte)
      if (spellings.some((spelling) => read.endsWith(spelling))) return begin
      let kept = read
      while (!prefixes.has(kept)) kept = kept.slice(1)
      return prefixes.get(kept)?.node ?? pop
    })
    for (const { low, high } of equalRuns(targets)) edges.push({ low, high, target: targets[low] ?? pop })
  }
  const entry = prefixes.get('')?.node ?? pop
  program.root = program.procedures.push({ entry, rule: program.root, repeat: undefined }) - 1
}

function equalRuns(values: readonly number[]): ByteRange[] {
  const runs: { low: number; high: number }[] = []
  for (const [index, value] of values.entries()) {
    const last = runs.at(-1)
    if (last !== undefined && values[last.low] === value) last.high = index
    else runs.push({ low: index, high: index })
  }
  return runs
}
