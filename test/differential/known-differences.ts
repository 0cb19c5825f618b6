interface Difference {
  template: string
  /** Names of conversations. */
  conversations: readonly string[]
  why: string
}

/** Where our prompt is another than llama-server's, and should be. */
const differences: readonly Difference[] = [
  {
    template: 'mistralai-Ministral-3-14B-Reasoning-2512',
    conversations: ['an empty answer'],
    why: 'The template refuses an assistant message that holds nothing. llama-server takes that check out of the template.',
  },
  {
    template: 'google-gemma-4-31B-it',
    conversations: ['words before a call'],
    why: 'The template begins no turn of the model after a result that follows words and a call. llama-server adds one.',
  },
]

/** Why they part, if it is known that they do. */
export function knownDifference(template: string, conversation: string): string | undefined {
  return differences.find((known) => known.template === template && known.conversations.includes(conversation))?.why
}
