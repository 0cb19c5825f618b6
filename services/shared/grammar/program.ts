/**
 * A grammar as a network of nodes that read bytes. Each rule is a procedure: a part of the network with an entry, which
 * is left at the node `pop`. So is the body of each counted repetition.
 */
import { type ByteRange, utf8Sequences } from './code-points.ts'
import { type CodePointRange, type Expression, type Grammar, GrammarError } from './expression.ts'

export type Node =
  /** `waiting`: it belongs to the text before the grammar begins to hold. */
  | { readonly kind: 'bytes'; readonly edges: Edge[]; readonly waiting?: true }
  | { readonly kind: 'split'; readonly targets: number[] }
  /** Runs a procedure, then goes on at `next`. */
  | { readonly kind: 'call'; readonly procedure: number; readonly next: number }
  | { readonly kind: 'pop' }

/** Reads a byte from low to high. */
export interface Edge extends ByteRange {
  readonly target: number
}

export interface Procedure {
  entry: number
  /** The rule that it is or belongs to. */
  readonly rule: number
  /** Set: the procedure is run so many times. `max` is Infinity when there is no end. */
  readonly repeat: { min: number; readonly max: number } | undefined
}

export interface Program {
  readonly nodes: Node[]
  readonly procedures: Procedure[]
  /** The procedure that is the grammar. */
  root: number
}

/** The node that every procedure ends with. */
export const pop = 0

/** Bounds what a grammar takes in memory. */
export const maxNodes = 150_000

/** Throws GrammarError. */
export function compileProgram(grammar: Grammar): Program {
  const program: Program = { nodes: [{ kind: 'pop' }], procedures: [], root: grammar.root }
  for (const [rule] of grammar.rules.entries()) program.procedures.push({ entry: pop, rule, repeat: undefined })
  for (const [rule, { body, position }] of grammar.rules.entries()) {
    const procedure = program.procedures[rule]
    if (procedure === undefined) continue
    procedure.entry = compile(program, body, rule, pop)
    if (program.nodes.length > maxNodes) {
      throw new GrammarError('too_large', 'The grammar is too large: its literals and character classes need too many states.', grammar.text, position)
    }
  }
  return program
}

export function addNode(program: Program, node: Node): number {
  return program.nodes.push(node) - 1
}

/** The node from which the expression is read before `next`. */
function compile(program: Program, expression: Expression, rule: number, next: number): number {
  // Past the limit nothing more is added; the caller refuses the grammar after this rule.
  if (program.nodes.length > maxNodes) return next
  switch (expression.kind) {
    case 'bytes':
      return compileBytes(program, expression.bytes, next)
    case 'characters':
      return compileCharacters(program, expression.ranges, next)
    case 'rule':
      return addNode(program, { kind: 'call', procedure: expression.rule, next })
    case 'sequence':
      return expression.items.reduceRight((following, item) => compile(program, item, rule, following), next)
    case 'choice':
      return compileChoice(program, expression.options, rule, next)
    default:
      return compileRepeat(program, expression, rule, next)
  }
}

function compileBytes(program: Program, bytes: Uint8Array, next: number): number {
  let target = next
  for (let index = bytes.length - 1; index >= 0; index--) {
    const byte = bytes[index] ?? 0
    target = addNode(program, { kind: 'bytes', edges: [{ low: byte, high: byte, target }] })
  }
  return target
}

/** Literals become one tree, so that a long list of them is read as fast as one. */
function compileChoice(program: Program, options: readonly Expression[], rule: number, next: number): number {
  const targets: number[] = []
  const literals: LiteralTree = { edges: [], branches: new Map() }
  for (const option of options) {
    if (option.kind === 'bytes' && option.bytes.length > 0) addLiteral(program, literals, option.bytes, next)
    else targets.push(compile(program, option, rule, next))
  }
  if (literals.edges.length > 0) targets.push(addNode(program, { kind: 'bytes', edges: literals.edges }))
  return addNode(program, { kind: 'split', targets })
}

interface LiteralTree {
  readonly edges: Edge[]
  readonly branches: Map<number, LiteralTree>
}

function addLiteral(program: Program, root: LiteralTree, bytes: Uint8Array, next: number): void {
  let tree = root
  for (const byte of bytes.subarray(0, -1)) {
    if (program.nodes.length > maxNodes) return
    let branch = tree.branches.get(byte)
    if (branch === undefined) {
      branch = { edges: [], branches: new Map() }
      tree.branches.set(byte, branch)
      tree.edges.push({ low: byte, high: byte, target: addNode(program, { kind: 'bytes', edges: branch.edges }) })
    }
    tree = branch
  }
  const last = bytes.at(-1) ?? 0
  tree.edges.push({ low: last, high: last, target: next })
}

function compileCharacters(program: Program, ranges: readonly CodePointRange[], next: number): number {
  const first: Edge[] = []
  // Most sequences end alike, so nodes for the same rest are shared.
  const shared = new Map<string, number>()
  for (const sequence of utf8Sequences(ranges)) {
    let target = next
    let rest = ''
    for (let index = sequence.length - 1; index > 0; index--) {
      const { low, high } = sequence[index] ?? { low: 0, high: 0 }
      rest = `${low}-${high},${rest}`
      const edge = { low, high, target }
      target = shared.get(rest) ?? addNode(program, { kind: 'bytes', edges: [edge] })
      shared.set(rest, target)
    }
    const { low, high } = sequence[0] ?? { low: 0, high: 0 }
    first.push({ low, high, target })
  }
  return addNode(program, { kind: 'bytes', edges: first })
}

function compileRepeat(program: Program, { body, min, max }: Expression & { kind: 'repeat' }, rule: number, next: number): number {
  if (max === 0) return next
  if (min === 1 && max === 1) return compile(program, body, rule, next)
  if (min === 0 && max === 1) return addNode(program, { kind: 'split', targets: [compile(program, body, rule, next), next] })
  if (min <= 1 && max === Number.POSITIVE_INFINITY) {
    const targets: number[] = []
    const loop = addNode(program, { kind: 'split', targets })
    const entry = compile(program, body, rule, loop)
    targets.push(entry, next)
    return min === 0 ? loop : entry
  }
  const procedure = program.procedures.push({ entry: compile(program, body, rule, pop), rule, repeat: { min, max } }) - 1
  return addNode(program, { kind: 'call', procedure, next })
}
