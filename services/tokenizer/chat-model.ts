import { ServiceError } from '../shared/errors.ts'
import { chooseDialect, type Dialect, dialectNamed } from '../shared/dialects/dialect.ts'
import { type ParsedConversation, parseConversation } from './conversation.ts'
import { createGuard, type Guard, renderGuarded } from './special-text.ts'
import type { Piece } from './special-tokens.ts'
import { type ChatTemplate, compileTemplate } from './template.ts'
import { type TemplateFeatures, templateFeatures } from './template-features.ts'
import { templateVariables, valueLength } from './template-variables.ts'
import { withToolInstructions } from './tool-instructions.ts'
import { ModelLoadError } from './model-load-error.ts'
import type { Vocabulary } from './vocabulary.ts'

/** A model's chat template, and how its answers are to be read. */
export interface ChatModel {
  /** Whether an answer can call tools. */
  readonly tools: boolean
  /** How its answers are written; with tools, whether the template knows them or they are described to it. */
  dialect(withTools: boolean): Dialect
  /** Ids of the special tokens that the dialect needs to see. */
  visibleTokens(dialect: Dialect): readonly number[]
  /**
   * The prompt, cut into plain text and special tokens, no control token among them but the template's own. Throws
   * template_rejected, template_failed.
   */
  render(conversation: ParsedConversation): readonly Piece[]
  /** Token ids of texts that the template puts between its special tokens whatever the conversation. */
  readonly fixed: ReadonlyMap<string, readonly number[]>
  /** The BOS token, where it is put before each prompt; the template's own is taken away then, as llama.cpp's server does. */
  readonly leading: number | undefined
}

/** Throws ModelLoadError. */
export function createChatModel(vocabulary: Vocabulary, source: string, path: string): ChatModel {
  const { bos, addBos, eosText, specialTokens } = vocabulary
  const leading = addBos ? bos : undefined
  const template = compile(path, { source, bosText: bos?.text ?? '', eosText })
  const guard = createGuard({ tokens: specialTokens, source, leading: leading?.text ?? '' })
  const features = templateFeatures(template)
  const own = chooseDialect(source)
  // A template that knows no tools is told of them in its system message.
  const described = features.tools !== undefined || own.tools !== undefined ? own : (dialectNamed(own.name.replace('plain', 'generic')) ?? own)
  const markersOf = (dialect: Dialect): number[] => specialTokens.filter(({ text }) => dialect.markers.includes(text)).map(({ id }) => id)
  const visible = new Map([own, described].map((dialect) => [dialect, markersOf(dialect)]))

  const render = (conversation: ParsedConversation): Piece[] => {
    const { tools } = described
    const told = features.tools !== undefined || tools === undefined ? conversation : withToolInstructions(conversation, tools)
    return renderConversation(features.system ? told : withoutSystem(told), template, features, guard)
  }
  return {
    tools: described.tools !== undefined,
    dialect: (withTools) => (withTools ? described : own),
    visibleTokens: (dialect) => visible.get(dialect) ?? [],
    render,
    fixed: fixedTexts(render, vocabulary),
    leading: leading?.id,
  }
}

function compile(path: string, options: Parameters<typeof compileTemplate>[0]): ChatTemplate {
  try {
    return compileTemplate(options)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : 'unknown error'
    throw new ModelLoadError('bad_chat_template', `The chat template of ${path} can't be parsed: ${why}`, thrown)
  }
}

/** For a template that knows no system message: its text begins the next one, as llama-server has it. */
function withoutSystem(conversation: ParsedConversation): ParsedConversation {
  const [first, second, ...rest] = conversation.messages
  if (first?.role !== 'system' || second === undefined) return conversation
  return { ...conversation, messages: [{ ...second, content: `${first.content}\n${second.content}` }, ...rest] }
}

function renderConversation(conversation: ParsedConversation, template: ChatTemplate, features: TemplateFeatures, guard: Guard): Piece[] {
  const contents: string[] = []
  const variables = templateVariables(conversation, features, (text) => {
    // Half of a surrogate pair has no UTF-8: llama.cpp would see something else than was looked at here.
    const content = text.toWellFormed()
    contents.push(content)
    return content
  })
  const length = valueLength(variables)
  const render = (texts: readonly string[]): string => {
    if (texts === contents) return template.render(variables, length)
    let next = 0
    return template.render(templateVariables(conversation, features, () => texts[next++] ?? ''), length)
  }
  return renderGuarded(contents, render, guard)
}

/**
 * Token ids of the texts that the template puts between its special tokens whatever the conversation, such as a newline: each
 * call of llama.cpp costs 13 µs for the regular expressions that it compiles, and a short chat has as many of these texts as it
 * has of the client's. Filled once, from conversations of ours: no client's text comes in.
 */
function fixedTexts(render: (conversation: ParsedConversation) => readonly Piece[], vocabulary: Vocabulary): Map<string, readonly number[]> {
  const content = '\u{fdd0}\u{fdd1}'
  const fixed = new Map<string, readonly number[]>()
  for (const roles of [['user'], ['system', 'user'], ['user', 'assistant', 'user'], ['system', 'user', 'assistant', 'user']]) {
    try {
      for (const piece of render(simpleConversation(roles.map((role) => [role, content])))) {
        if (typeof piece === 'string' && !piece.includes(content)) fixed.set(piece, vocabulary.tokenise(piece))
      }
    } catch (thrown) {
      // Not every template knows every role.
      if (!(thrown instanceof ServiceError)) throw thrown
    }
  }
  return fixed
}

/** One of texts alone. */
export function simpleConversation(turns: readonly (readonly [role: string, content: string])[]): ParsedConversation {
  return parseConversation({
    messages: turns.map(([role, content]) => ({ role, content, reasoning: '', toolCalls: [], toolCallId: '', name: '' })),
    tools: [],
    toolChoice: 0,
    toolName: '',
    singleToolCall: false,
    templateKwargs: '',
    reasoningEffort: '',
    addGenerationPrompt: true,
  })
}
