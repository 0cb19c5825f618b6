import { hash } from 'node:crypto'

/** Tokens in a block. */
export const blockTokens = 64

/**
 * One hash for each whole block of a prompt, over the block and all before it, so that equal hashes mean equal beginnings. The team is in
 * it: two teams' hashes never meet. They say what a worker's slots hold, between services that may see prompts anyway, and go nowhere else.
 */
export function prefixHashes(team: string, tokens: readonly number[]): bigint[] {
  const hashes: bigint[] = []
  let last: string | Buffer = `intramuros prefix\n${team}`
  for (let begin = 0; begin + blockTokens <= tokens.length; begin += blockTokens) {
    const block = new Uint32Array(tokens.slice(begin, begin + blockTokens))
    last = hash('sha256', Buffer.concat([Buffer.from(last), new Uint8Array(block.buffer)]), 'buffer')
    hashes.push(last.readBigUInt64LE())
  }
  return hashes
}
