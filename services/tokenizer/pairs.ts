import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PreparePairsRequest, PreparePairsResponse } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import type { UnaryHandler } from '../shared/rpc/handler.ts'
import type { ServedModel } from './model.ts'
import { requireModel } from './prepare.ts'
import { createGuard, renderGuarded } from './special-text.ts'
import { indexSpecialTokens, partition, type Piece } from './special-tokens.ts'
import type { Vocabulary } from './vocabulary.ts'

/** A query and a document as a reranking model wants them, no special token among them that a client has spelt. */
export type Pairs = (query: string, document: string) => readonly Piece[]

/** Undefined for a model that does not rerank. */
export function createPairs({ pairForm, specialTokens }: Pick<Vocabulary, 'pairForm' | 'specialTokens'>): Pairs | undefined {
  if (pairForm === undefined) return undefined
  const { template, before, between, after } = pairForm
  if (template !== undefined) {
    const guard = createGuard({ tokens: specialTokens, source: template, leading: '' })
    // In one pass: a query may well hold the text "{document}".
    const render = ([query = '', document = '']: readonly string[]): string => template.replaceAll(/\{(query|document)\}/g, (_, name) => (name === 'query' ? query : document))
    return (query, document) => renderGuarded([query.toWellFormed(), document.toWellFormed()], render, guard)
  }
  const userDefined = indexSpecialTokens(specialTokens.filter(({ control }) => !control))
  const special = (id: number): Piece => specialTokens.find((token) => token.id === id) ?? { id, text: '', control: true, stripLeft: false, stripRight: false }
  const [first, middle, last] = [before.map(special), between.map(special), after.map(special)]
  const pieces = (text: string): Piece[] => partition(text.toWellFormed(), text.toWellFormed(), userDefined)
  return (query, document) => [...first, ...pieces(query), ...middle, ...pieces(document), ...last]
}

/** Pairs between two turns of the event loop. */
const pairsInTurn = 16

/** Token ids of a query with each document. */
export function createPreparePairs(models: ReadonlyMap<string, ServedModel>): UnaryHandler<PreparePairsRequest, PreparePairsResponse> {
  return async ({ model: id, query, documents, contextLength: workers }, { signal }) => {
    const model = requireModel(models, id)
    const { pairs, vocabulary } = model
    const contextLength = Math.min(model.contextLength, workers ?? model.contextLength)
    if (pairs === undefined) throw new ServiceError('INVALID_ARGUMENT', 'unsupported_model', 'This model does not rerank. GET /v1/models tells which do.', { param: 'model' })
    const result: { ids: number[] }[] = []
    const queryBytes = Buffer.byteLength(query)
    for (const [index, document] of documents.entries()) {
      if (queryBytes + Buffer.byteLength(document) > contextLength * vocabulary.longestTokenBytes) throw tooLong(contextLength, index, `more than ${contextLength}`)
      if (index % pairsInTurn === pairsInTurn - 1) {
        // oxlint-disable-next-line no-await-in-loop -- to let others have their turn
        await nextTurn()
        signal.throwIfAborted()
      }
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { ids, complete } = await model.tokenise(pairs(query, document), signal, contextLength)
      if (!complete || ids.length > contextLength) throw tooLong(contextLength, index, complete ? String(ids.length) : `more than ${contextLength}`)
      result.push({ ids })
    }
    return { pairs: result }
  }
}

function tooLong(contextLength: number, index: number, tokens: string): ServiceError {
  const text = `This model's maximum context length is ${contextLength} tokens. However, the query and document ${index} have ${tokens} tokens together.`
  return new ServiceError('INVALID_ARGUMENT', 'context_length_exceeded', text, { param: `documents[${index}]` })
}
