/** What must be known of a whole grammar before it is run: what may be empty, what can never end, what calls itself first. */
import { type Grammar, GrammarError } from './expression.ts'
import type { Node, Program } from './program.ts'

export interface Analysis {
  /** For each procedure: whether it may read nothing. */
  readonly empty: Uint8Array
}

/** Throws GrammarError when the grammar can't be run. Takes what can never end out of the program. */
export function analyse(grammar: Grammar, program: Program): Analysis {
  const finishing = solve(program, true)
  if (finishing.procedures[program.root] !== 1) {
    throw new GrammarError('endless', 'No text can ever fulfil "root": its rules call each other without end.', grammar.text, position(grammar, program.root))
  }
  removeEndless(program, finishing.nodes)

  const empty = solve(program, false)
  for (const [index, procedure] of program.procedures.entries()) {
    // Repetitions of something that may be empty can always be had with nothing.
    if (procedure.repeat !== undefined && empty.nodes[procedure.entry] === 1) procedure.repeat.min = 0
    if (procedure.repeat?.min === 0) empty.procedures[index] = 1
  }
  const recursive = leftRecursion(program, empty.procedures)
  if (recursive !== undefined) {
    const rule = program.procedures[recursive]?.rule ?? 0
    const name = grammar.rules[rule]?.name ?? ''
    throw new GrammarError(
      'left_recursion',
      `The rule "${name}" is left-recursive: it can begin with itself. Put what it begins with first, as in "a ::= b a | b".`,
      grammar.text,
      position(grammar, rule),
    )
  }
  return { empty: empty.procedures }
}

function position(grammar: Grammar, rule: number): number {
  return grammar.rules[rule]?.position ?? 0
}

interface Facts {
  readonly nodes: Uint8Array
  readonly procedures: Uint8Array
}

/** From which nodes the end of their procedure can be reached, by reading bytes or without. Takes linear time. */
function solve(program: Program, reading: boolean): Facts {
  const nodes = new Uint8Array(program.nodes.length)
  const procedures = new Uint8Array(program.procedures.length)
  const before: (number[] | undefined)[] = []
  const callers: number[][] = program.procedures.map(() => [])
  const entered: (number[] | undefined)[] = []
  const add = (lists: (number[] | undefined)[], at: number, entry: number) => (lists[at] ??= []).push(entry)
  for (const [index, node] of program.nodes.entries()) {
    if (node.kind === 'call') {
      add(before, node.next, index)
      callers[node.procedure]?.push(index)
    } else if (node.kind === 'split') for (const target of node.targets) add(before, target, index)
    else if (node.kind === 'bytes' && reading) for (const { target } of node.edges) add(before, target, index)
  }
  for (const [index, { entry }] of program.procedures.entries()) add(entered, entry, index)

  const found: number[] = []
  const mark = (index: number) => {
    const node = program.nodes[index]
    if (nodes[index] === 1 || node === undefined) return
    if (node.kind === 'call' && (nodes[node.next] !== 1 || procedures[node.procedure] !== 1)) return
    nodes[index] = 1
    found.push(index)
  }
  const markProcedure = (index: number) => {
    if (procedures[index] === 1) return
    procedures[index] = 1
    for (const caller of callers[index] ?? []) mark(caller)
  }
  for (const [index, node] of program.nodes.entries()) if (node.kind === 'pop') mark(index)
  for (const [index, { repeat }] of program.procedures.entries()) if (repeat?.min === 0) markProcedure(index)
  for (let index = found.pop(); index !== undefined; index = found.pop()) {
    for (const earlier of before[index] ?? []) mark(earlier)
    for (const procedure of entered[index] ?? []) markProcedure(procedure)
  }
  return { nodes, procedures }
}

/** So that a model can't go where no end is. */
function removeEndless(program: Program, finishing: Uint8Array): void {
  const ends = (target: number) => finishing[target] === 1
  for (const [index, node] of program.nodes.entries()) {
    if (node.kind === 'bytes') program.nodes[index] = { ...node, edges: node.edges.filter(({ target }) => ends(target)) }
    else if (node.kind === 'split') program.nodes[index] = { ...node, targets: node.targets.filter(ends) }
    else if (node.kind === 'call' && !ends(index)) program.nodes[index] = { kind: 'split', targets: [] }
  }
}

/** A procedure that can call itself before any byte is read: one that is entered within a cycle (Tarjan's algorithm). */
function leftRecursion(program: Program, empty: Uint8Array): number | undefined {
  const { nodes, procedures } = program
  const order = new Int32Array(nodes.length)
  const lowest = new Int32Array(nodes.length)
  const component = new Int32Array(nodes.length)
  const open: number[] = []
  let clock = 0
  let components = 0
  for (let start = 0; start < nodes.length; start++) {
    if (order[start] !== 0) continue
    const path: { node: number; following: readonly number[]; next: number }[] = []
    const enter = (node: number) => {
      order[node] = lowest[node] = ++clock
      open.push(node)
      path.push({ node, following: withoutReading(nodes[node], program, empty), next: 0 })
    }
    enter(start)
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const { node } = step
      const target = step.following[step.next++]
      if (target === undefined) {
        path.pop()
        const parent = path.at(-1)?.node
        if (parent !== undefined) lowest[parent] = Math.min(lowest[parent] ?? 0, lowest[node] ?? 0)
        if (lowest[node] !== order[node]) continue
        components++
        for (let member = open.pop(); member !== undefined; member = member === node ? undefined : open.pop()) component[member] = components
      } else if (order[target] === 0) enter(target)
      else if (component[target] === 0) lowest[node] = Math.min(lowest[node] ?? 0, order[target] ?? 0)
    }
  }
  for (const [index, node] of nodes.entries()) {
    if (node.kind !== 'call') continue
    const entry = procedures[node.procedure]?.entry ?? 0
    if (component[index] === component[entry]) return node.procedure
  }
  return undefined
}

function withoutReading(node: Node | undefined, { procedures }: Program, empty: Uint8Array): readonly number[] {
  if (node?.kind === 'split') return node.targets
  if (node?.kind !== 'call') return []
  const entry = procedures[node.procedure]?.entry ?? 0
  return empty[node.procedure] === 1 ? [entry, node.next] : [entry]
}
