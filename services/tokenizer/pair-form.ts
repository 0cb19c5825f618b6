import type { LlamaModel } from 'node-llama-cpp'
import { ModelLoadError } from './model-load-error.ts'

/** How a reranking model wants a query and a document together. */
export interface PairForm {
  /** With "{query}" and "{document}" in it; undefined: the two stand one after the other, with the tokens below. */
  readonly template: string | undefined
  readonly before: readonly number[]
  readonly between: readonly number[]
  readonly after: readonly number[]
}

interface PairMetadata {
  model: string
  pre?: string
  add_sep_token?: boolean
}

/** Byte-level BPE vocabularies that llama.cpp has use a separator without being told. */
const separating: ReadonlySet<string> = new Set(['jina-v1-en', 'jina-v2-code', 'roberta-bpe'])

/** The form that llama-server gives a pair (format_prompt_rerank in its tools/server/server-common.cpp). Throws ModelLoadError. */
export function readPairForm(model: Pick<LlamaModel, 'tokens'>, { model: kind, pre, add_sep_token: told }: PairMetadata, template: string | undefined, path: string): PairForm {
  if (template !== undefined && !(template.includes('{query}') && template.includes('{document}')))
    throw new ModelLoadError('bad_chat_template', `The template of ${path} for reranking lacks {query} or {document}.`)
  const { bos, eos, sep, shouldPrependBosToken, shouldAppendEosToken } = model.tokens
  const separates = told ?? (kind === 'bert' || (kind === 'gpt2' && separating.has(pre ?? '')))
  const end = shouldAppendEosToken ? present(eos ?? sep) : []
  return {
    template,
    before: shouldPrependBosToken ? present(bos) : [],
    between: [...end, ...(separates ? present(sep) : [])],
    after: end,
  }
}

function present(token: number | null): number[] {
  return token === null ? [] : [token]
}
