import type { LlamaModel, Token } from 'node-llama-cpp'
import type { TokenKind } from './token-texts.ts'

/** From llama.cpp rather than from the file: it corrects the types of some well-known tokens. */
export function tokenKind(model: Pick<LlamaModel, 'getTokenAttributes'>, token: number): TokenKind {
  const attributes = model.getTokenAttributes(token as Token)
  if (attributes.control || attributes.unknown) return 'special'
  if (attributes.userDefined) return 'literal'
  if (attributes.byte) return 'byte'
  return attributes.normal ? 'text' : 'special'
}
