/**
 * What an automaton has still to do after the procedure that it is in: a node of a graph-structured stack. Everyone who
 * calls the same procedure at the same place of the text shares one node, with a link for each caller, so that an
 * ambiguous grammar needs no more nodes than places. Nodes are interned: the same node is the same object.
 */
export interface Stack {
  readonly id: number
  /** The counted repetition that the node belongs to, or -1. */
  readonly repeat: number
  /** The times that the repetition had been run when this one began. */
  readonly count: number
  readonly links: readonly Link[]
  readonly depth: number
  /**
   * A node whose future of the next few bytes is the same: counts that are far from their repetition's ends are made
   * equal. What is known of one text then holds for many.
   */
  readonly similar: Stack
}

export interface Link {
  /** Where the caller goes on. */
  readonly node: number
  readonly stack: Stack
}

/** How an automaton counts: `count` as it is kept, `similar` as it may be taken for the next few bytes. */
export interface Counting {
  similar(repeat: number, count: number): number
}

export interface Stacks {
  readonly bottom: Stack
  readonly size: number
  intern(repeat: number, count: number, links: readonly Link[]): Stack
}

/** The links must have been put in order by their callers only in so far as that equal lists come in equal order. */
export function createStacks(counting: Counting, nextId: () => number, bottom?: Stack): Stacks {
  const known = new Map<string, Stack>()
  const root = bottom ?? createBottom(nextId())

  function intern(repeat: number, count: number, links: readonly Link[]): Stack {
    const { ordered, key } = order(links)
    const name = repeat === -1 ? key : `${repeat}*${count}${key}`
    const existing = known.get(name)
    if (existing !== undefined) return existing

    let depth = 0
    let alike = repeat === -1 || counting.similar(repeat, count) === count
    for (const { stack } of ordered) {
      depth = Math.max(depth, stack.depth + 1)
      alike &&= stack.similar === stack
    }
    const created: { -readonly [key in keyof Stack]: Stack[key] } = {
      id: nextId(),
      repeat,
      count,
      links: ordered,
      depth,
      similar: root,
    }
    known.set(name, created)
    created.similar = alike
      ? created
      : intern(
          repeat,
          repeat === -1 ? 0 : counting.similar(repeat, count),
          ordered.map(({ node, stack }) => ({ node, stack: stack.similar })),
        )
    return created
  }

  return {
    bottom: root,
    get size() {
      return known.size
    },
    intern,
  }
}

function createBottom(id: number): Stack {
  const bottom: { -readonly [key in keyof Stack]: Stack[key] } = { id, repeat: -1, count: 0, links: [], depth: 0, similar: undefined as never }
  bottom.similar = bottom
  return bottom
}

function order(links: readonly Link[]): { ordered: readonly Link[]; key: string } {
  const [only] = links
  if (links.length === 1 && only !== undefined) return { ordered: links, key: `|${only.node},${only.stack.id}` }
  const sorted = [...links].sort((a, b) => a.node - b.node || a.stack.id - b.stack.id)
  const ordered = sorted.filter((link, index) => link.node !== sorted[index - 1]?.node || link.stack !== sorted[index - 1]?.stack)
  return { ordered, key: ordered.map(({ node, stack }) => `|${node},${stack.id}`).join('') }
}
