import type { Stack } from './stack.ts'

/** All the ways in which a text can be read so far: nodes of a program, and for each what follows it. */
export interface Configurations {
  readonly nodes: readonly number[]
  readonly stacks: readonly Stack[]
}

/** The same, after everything that needs no byte was followed: all nodes read bytes. */
export interface Closure extends Configurations {
  /** The text may end here. */
  readonly ends: boolean
  /** None of the texts that the grammar waits for has come yet. */
  readonly waiting: boolean
}

export interface Configuration {
  readonly node: number
  readonly stack: Stack
}

/** Where a byte leads; lists may have their ends in common. */
export interface Moves extends Configuration {
  readonly rest: Moves | undefined
}

export interface State extends Closure {
  /** How it was reached. */
  readonly kernel: Configurations
  /** By class of byte. Both are filled as they are asked for. */
  readonly next: (State | undefined)[]
  moves: readonly (Moves | undefined)[] | undefined
  readonly generation: number
  similar: State | undefined
}

/** Whether the bytes so far are the beginning of some text of the grammar. */
export function isAlive(state: State): boolean {
  return state.ends || state.nodes.length > 0
}
