interface Difference {
  template: string
  /** Names of conversations. */
  conversations: readonly string[]
  why: string
}

/** Where our prompt is another than llama-server's, and should be. */
const differences: readonly Difference[] = []

/** Why they part, if it is known that they do. */
export function knownDifference(template: string, conversation: string): string | undefined {
  return differences.find((known) => known.template === template && known.conversations.includes(conversation))?.why
}
