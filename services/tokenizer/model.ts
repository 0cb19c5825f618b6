import type { Llama } from 'node-llama-cpp'
import { ServiceError } from '../shared/errors.ts'
import type { Logger } from '../shared/log.ts'
import { createGuard, type Guard, renderGuarded } from './special-text.ts'
import type { Piece } from './special-tokens.ts'
import { type ChatTemplate, compileTemplate, type TemplateMessage } from './template.ts'
import { tokenisePieces, type Tokens } from './tokenise.ts'
import { loadVocabulary, ModelLoadError, type Vocabulary } from './vocabulary.ts'

export interface ServedModelOptions {
  /** Catalogue id. */
  id: string
  /** A GGUF file. */
  path: string
  /** Tokens that a prompt and its answer may have together; the model's own number if it is not given or larger. */
  contextLength?: number | undefined
}

export { ModelLoadError }

/** A model that prompts can be prepared for. */
export interface ServedModel {
  readonly contextLength: number
  readonly longestTokenBytes: number
  /**
   * Token ids of a conversation with the assistant's turn next. `complete` is false for a long one that has more tokens than the
   * context. Throws template_rejected, template_failed, CANCELLED.
   */
  tokenise(messages: readonly TemplateMessage[], signal: AbortSignal): Promise<Tokens>
  close(): Promise<void>
}

/** Throws ModelLoadError. Resolves when the model has tokenised a conversation. */
export async function loadModel(llama: Llama, options: ServedModelOptions, log: Logger): Promise<ServedModel> {
  const { id, path, contextLength } = options
  const vocabulary = await loadVocabulary(llama, path)
  try {
    const trained = vocabulary.contextLength
    if (contextLength !== undefined && contextLength > trained) {
      log.warn({ model: id, contextLength, trained }, 'context length bounded by that of the model')
    }
    return await serve(vocabulary, path, Math.min(contextLength ?? trained, trained))
  } catch (thrown) {
    await vocabulary.dispose()
    throw thrown
  }
}

async function serve(vocabulary: Vocabulary, path: string, contextLength: number): Promise<ServedModel> {
  const { bos, addBos, eosText, specialTokens, chatTemplate: source } = vocabulary
  // llama.cpp's server takes away the BOS that the template writes and adds its own, if the vocabulary wants one; so do we.
  const leading = addBos ? bos : undefined
  const template = compile(path, { source, bosText: bos?.text ?? '', eosText })
  const guard = createGuard({ tokens: specialTokens, source, leading: leading?.text ?? '' })
  const fixed = fixedTexts(template, guard, vocabulary)

  const tokenise: ServedModel['tokenise'] = async (messages, signal) => {
    const pieces = renderPrompt(messages, template, guard)
    const tokens = await tokenisePieces(pieces, { vocabulary, fixed, limit: contextLength, signal })
    if (leading !== undefined) tokens.ids.unshift(leading.id)
    return tokens
  }
  const { ids } = await tokenise([{ role: 'user', content: 'Hello.' }], AbortSignal.timeout(10_000)).catch((thrown: unknown) => {
    throw new ModelLoadError('bad_chat_template', `The chat template of ${path} fails on the simplest conversation.`, thrown)
  })
  if (ids.length === 0) {
    throw new ModelLoadError('bad_chat_template', `The chat template of ${path} makes nothing of a conversation.`)
  }
  return { contextLength, longestTokenBytes: vocabulary.longestTokenBytes, tokenise, close: () => vocabulary.dispose() }
}

function compile(path: string, options: Parameters<typeof compileTemplate>[0]): ChatTemplate {
  try {
    return compileTemplate(options)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : 'unknown error'
    throw new ModelLoadError('bad_chat_template', `The chat template of ${path} can't be parsed: ${why}`, thrown)
  }
}

function renderPrompt(messages: readonly TemplateMessage[], template: ChatTemplate, guard: Guard): Piece[] {
  const contents = messages.map(({ content }) => content)
  const render = (strings: readonly string[]): string =>
    template.render(messages.map(({ role }, i) => ({ role, content: strings[i] ?? '' })))
  return renderGuarded(contents, render, guard)
}

/**
 * Token ids of the texts that the template puts between its special tokens whatever the conversation, such as a newline: each
 * call of llama.cpp costs 13 µs for the regular expressions that it compiles, and a short chat has as many of these texts as it
 * has of the client's. Filled once, from conversations of ours: no client's text comes in.
 */
function fixedTexts(template: ChatTemplate, guard: Guard, vocabulary: Vocabulary): Map<string, readonly number[]> {
  const content = '\u{fdd0}\u{fdd1}'
  const fixed = new Map<string, readonly number[]>()
  for (const roles of [['user'], ['system', 'user'], ['user', 'assistant', 'user'], ['system', 'user', 'assistant', 'user']]) {
    try {
      const messages = roles.map((role) => ({ role, content }))
      for (const piece of renderPrompt(messages, template, guard)) {
        if (typeof piece === 'string' && !piece.includes(content)) fixed.set(piece, vocabulary.tokenise(piece))
      }
    } catch (thrown) {
      // Not every template knows every role.
      if (!(thrown instanceof ServiceError)) throw thrown
    }
  }
  return fixed
}
