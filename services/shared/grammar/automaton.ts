/**
 * Runs a grammar over bytes. A state is the set of all ways in which the bytes so far can be read, each a node of the
 * program and a stack. States are interned and their transitions kept, so that what recurs costs as little as in a
 * finite automaton. All work is bounded: a state is as large as a grammar is ambiguous, and never exponential.
 */
import { analyse } from './analysis.ts'
import { createByteClasses } from './byte-classes.ts'
import { createClosure } from './closure.ts'
import { GrammarError } from './expression.ts'
import { parseGbnf } from './gbnf.ts'
import { MatchError } from './match-error.ts'
import { compileProgram } from './program.ts'
import { createStacks, type Stacks } from './stack.ts'
import type { Configuration, Configurations, Moves, State } from './state.ts'
import { addTrigger } from './trigger.ts'

export interface Automaton {
  readonly start: State
  /** As `start`, but a space that comes first is as if it had not come. */
  readonly startAfterSpace: State
  /** The class of each byte; bytes of one class have the same transitions everywhere. */
  readonly classes: Uint8Array
  /** Steps of work since the last renewal. */
  readonly work: number
  /** Throws MatchError when it would take too much work. */
  step(state: State, byte: number): State
  /** A state that takes the same bytes as this one, up to so many as `lookahead` said. */
  similar(state: State): State
  /**
   * Called before each token. Begins a new count of work, and forgets old states when there are too many; then the
   * state is another object.
   */
  renew(state: State): State
}

export interface AutomatonOptions {
  /** The grammar holds from the end of the first of these that comes; from the beginning if there is none. */
  readonly after?: readonly string[]
  /** Bytes of the longest token. */
  readonly lookahead?: number
  /** Called when old states are forgotten. */
  onForget?(): void
}

/** Of one token, or of one look at all tokens. A usual token takes a few hundred. */
const maxWork = 1_000_000
/** Ways to read one text. */
const maxConfigurations = 5000
const maxStates = 5000
/** Of all states. */
const maxKept = 500_000
const maxStacks = 100_000
const maxDepth = 20_000
const space = 0x20

/** Throws GrammarError. */
export function createAutomaton(text: string, { after = [], lookahead = 0, onForget }: AutomatonOptions = {}): Automaton {
  const grammar = parseGbnf(text)
  const program = compileProgram(grammar)
  if (after.length > 0) addTrigger(program, after)
  const { empty } = analyse(grammar, program)
  const { classes, count: classCount } = createByteClasses(program)
  const noStates = Array.from<undefined>({ length: classCount })

  let ids = 0
  const nextId = () => ++ids
  const counting = {
    similar(repeat: number, count: number): number {
      const { min, max } = program.procedures[repeat]?.repeat ?? { min: 0, max: 0 }
      const reach = count + lookahead + 1
      if (reach < min) return 0
      return count >= min && reach < max ? min : count
    },
  }
  let work = 0
  const spend = (units: number) => {
    work += units
    if (work > maxWork) throw tooAmbiguous()
  }

  let generation = 0
  let kept = 0
  let stacks: Stacks = createStacks(counting, nextId)
  let states = new Map<string, State>()
  const close = createClosure({ program, empty, spend, maxDepth })

  function intern(kernel: Configurations): State {
    let key = ''
    for (let index = 0; index < kernel.nodes.length; index++) key += `${kernel.nodes[index] ?? 0},${kernel.stacks[index]?.id ?? 0};`
    const existing = states.get(key)
    if (existing !== undefined) return existing
    const closure = close(kernel, stacks)
    if (closure.nodes.length > maxConfigurations) throw tooAmbiguous()
    kept += kernel.nodes.length + closure.nodes.length
    const created: State = {
      ...closure,
      kernel,
      next: noStates.slice(),
      moves: undefined,
      generation,
      similar: undefined,
    }
    states.set(key, created)
    return created
  }

  /** Where each class of bytes leads from a state. Most classes lead to few places, and share their lists. */
  function moves(state: State): (Moves | undefined)[] {
    const found: (Moves | undefined)[] = noStates.slice()
    for (let index = 0; index < state.nodes.length; index++) {
      const node = program.nodes[state.nodes[index] ?? 0]
      const stack = state.stacks[index]
      if (node?.kind !== 'bytes' || stack === undefined) continue
      for (const { low, high, target } of node.edges) {
        const last = classes[high] ?? 0
        let before: Moves | undefined
        let after: Moves | undefined
        for (let byteClass = classes[low] ?? 0; byteClass <= last; byteClass++) {
          const rest = found[byteClass]
          if (after === undefined || rest !== before) {
            before = rest
            after = { node: target, stack, rest }
            spend(1)
          }
          found[byteClass] = after
        }
      }
    }
    return found
  }

  function advance(state: State, byteClass: number): State {
    state.moves ??= moves(state)
    const list = state.moves[byteClass]
    const found: Configuration[] = []
    for (let move = list; move !== undefined; move = move.rest) found.push(move)
    spend(found.length)
    const reached = intern(normalise(found))
    for (let other = 0; other < state.next.length; other++) if (state.moves[other] === list) state.next[other] = reached
    return reached
  }

  /** A grammar that is too ambiguous before anything was read is one that can't be used at all. */
  function startState(): State {
    try {
      return intern({ nodes: [program.procedures[program.root]?.entry ?? 0], stacks: [stacks.bottom] })
    } catch (thrown) {
      if (!(thrown instanceof MatchError)) throw thrown
      throw new GrammarError('too_large', `It is too large: ${thrown.message}`, text, 0)
    }
  }

  const start = startState()
  const startAfterSpace: State = { ...start, next: [...start.next] }
  startAfterSpace.next[classes[space] ?? 0] = start

  return {
    start,
    startAfterSpace,
    classes,
    get work() {
      return work
    },
    step(state, byte) {
      const byteClass = classes[byte] ?? 0
      return state.next[byteClass] ?? advance(state, byteClass)
    },
    similar(state) {
      if (state.similar === undefined) {
        const { nodes, stacks: kernelStacks } = state.kernel
        state.similar = kernelStacks.every((stack) => stack.similar === stack)
          ? state
          : intern(normalise(kernelStacks.map((stack, index) => ({ node: nodes[index] ?? 0, stack: stack.similar }))))
      }
      return state.similar
    },
    renew(state) {
      work = 0
      if (states.size > maxStates || kept > maxKept || stacks.size > maxStacks) {
        generation++
        kept = 0
        states = new Map()
        stacks = createStacks(counting, nextId, stacks.bottom)
        onForget?.()
      }
      // The state that a leading space leads back from stays: it is made once.
      return state.generation === generation || state === startAfterSpace ? state : intern(state.kernel)
    },
  }
}

function tooAmbiguous(): MatchError {
  return new MatchError('too_ambiguous', 'The grammar is too ambiguous: a text can be read in too many ways.')
}

/** In order and without duplicates, so that equal sets are equal kernels. */
function normalise(found: Configuration[]): Configurations {
  if (found.length > 1) found.sort((a, b) => a.node - b.node || a.stack.id - b.stack.id)
  const nodes: number[] = []
  const stacks: Configuration['stack'][] = []
  for (const { node, stack } of found) {
    if (node === nodes.at(-1) && stack === stacks.at(-1)) continue
    nodes.push(node)
    stacks.push(stack)
  }
  return { nodes, stacks }
}
