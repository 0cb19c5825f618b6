/** Follows everything that needs no byte: alternatives, calls of procedures and their ends. */
import { MatchError } from './match-error.ts'
import { pop, type Program } from './program.ts'
import type { Link, Stack, Stacks } from './stack.ts'
import type { Closure, Configurations } from './state.ts'

/** A procedure that is entered at this place of the text. It becomes a Stack when all who call it here are known. */
interface Opening {
  readonly id: number
  readonly repeat: number
  readonly count: number
  readonly links: { readonly node: number; readonly from: Stack | Opening }[]
  /** Openings that end when this one ends: it was the last that they called. */
  readonly inherits: Opening[]
  stack: Stack | undefined
}

interface ClosureOptions {
  readonly program: Program
  /** Which procedures may read nothing. */
  readonly empty: Uint8Array
  spend(units: number): void
  readonly maxDepth: number
}

export function createClosure({ program, empty, spend, maxDepth }: ClosureOptions): (kernel: Configurations, stacks: Stacks) => Closure {
  const { nodes, procedures } = program

  return (kernel, stacks) => {
    const openings = new Map<string | number, Opening>()
    const seen = new Set<number>()
    const pending: { node: number; from: Stack | Opening }[] = []
    const reading: { node: number; from: Stack | Opening }[] = []
    let ends = false
    let waiting = false

    const push = (node: number, from: Stack | Opening) => {
      // Ids of openings are negative, those of stacks positive.
      const key = from.id * nodes.length + (from.id < 0 ? -node : node)
      if (seen.has(key)) return
      seen.add(key)
      pending.push({ node, from })
    }

    const open = (procedure: number, count: number): Opening => {
      const isRepeat = procedures[procedure]?.repeat !== undefined
      const key = count === 0 ? procedure : `${procedure}*${count}`
      const existing = openings.get(key)
      if (existing !== undefined) return existing
      const opening: Opening = {
        id: -1 - openings.size,
        repeat: isRepeat ? procedure : -1,
        count,
        links: [],
        inherits: [],
        stack: undefined,
      }
      openings.set(key, opening)
      push(procedures[procedure]?.entry ?? pop, opening)
      return opening
    }

    const call = (procedure: number, next: number, from: Stack | Opening) => {
      const opening = open(procedure, 0)
      // The last call of a procedure returns to its callers at once, so that lists don't nest.
      if (next !== pop || from.repeat !== -1 || from === stacks.bottom) opening.links.push({ node: next, from })
      else if (isOpening(from)) opening.inherits.push(from)
      else addLinks(opening, from.links)
      if (empty[procedure] === 1) push(next, from)
    }

    const leave = (stack: Stack) => {
      spend(stack.links.length)
      if (stack === stacks.bottom) ends = true
      const repeat = stack.repeat === -1 ? undefined : procedures[stack.repeat]?.repeat
      if (repeat !== undefined) {
        const done = stack.count + 1
        if (done < repeat.max) {
          // Without an end, counting ends at the least.
          const kept = repeat.max === Number.POSITIVE_INFINITY ? Math.min(done, repeat.min) : done
          addLinks(open(stack.repeat, kept), stack.links)
        }
        if (done < repeat.min) return
      }
      for (const link of stack.links) push(link.node, link.stack)
    }

    for (const [index, node] of kernel.nodes.entries()) push(node, kernel.stacks[index] ?? stacks.bottom)
    for (let step = pending.pop(); step !== undefined; step = pending.pop()) {
      const node = nodes[step.node]
      spend(1)
      if (node?.kind === 'bytes') {
        reading.push(step)
        waiting ||= node.waiting === true
      } else if (node?.kind === 'split') {
        spend(node.targets.length)
        for (const target of node.targets) push(target, step.from)
      } else if (node?.kind === 'call') call(node.procedure, node.next, step.from)
      // An opening that ends at once has read nothing; whoever called it has gone on already.
      else if (!isOpening(step.from)) leave(step.from)
    }

    for (const opening of openings.values()) settle(opening, stacks)
    return {
      nodes: reading.map(({ node }) => node),
      stacks: reading.map(({ from }) => (isOpening(from) ? (from.stack ?? stacks.bottom) : from)),
      ends,
      waiting,
    }
  }

  /** Makes an opening a stack, those that it depends on first. They can't depend on each other in a circle: that would be left recursion. */
  function settle(opening: Opening, stacks: Stacks): void {
    const path = [opening]
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const unsettled: Opening[] = last.inherits.filter(({ stack }) => stack === undefined)
      for (const { from } of last.links) if (isOpening(from) && from.stack === undefined) unsettled.push(from)
      if (last.stack === undefined && unsettled.length > 0) {
        spend(unsettled.length)
        path.push(...unsettled)
        continue
      }
      path.pop()
      if (last.stack !== undefined) continue
      const links: Link[] = []
      for (const { node, from } of last.links) {
        const stack = isOpening(from) ? from.stack : from
        if (stack !== undefined) links.push({ node, stack })
      }
      for (const { stack } of last.inherits) links.push(...(stack?.links ?? []))
      spend(links.length)
      last.stack = stacks.intern(last.repeat, last.count, links)
      if (last.stack.depth > maxDepth) throw new MatchError('too_deep', `The text nests deeper than ${maxDepth} rules of its grammar.`)
    }
  }
}

function addLinks(opening: Opening, links: readonly Link[]): void {
  for (const { node, stack } of links) opening.links.push({ node, from: stack })
}

function isOpening(from: Stack | Opening): from is Opening {
  return from.id < 0
}
