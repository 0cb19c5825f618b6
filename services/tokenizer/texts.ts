import type { DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse } from '../../proto/gen/intramuros/v1/tokenizer.ts'
import { ServiceError } from '../shared/errors.ts'
import type { UnaryHandler } from '../shared/rpc/handler.ts'
import { detokenise } from './detokenise.ts'
import type { ServedModel } from './model.ts'
import { requireModel } from './prepare.ts'

type Models = ReadonlyMap<string, ServedModel>

/** Token ids of texts, without a chat template. */
export function createTokenize(models: Models): UnaryHandler<TokenizeRequest, TokenizeResponse> {
  return async ({ model: id, texts, addSpecial, limited, parseSpecial, contextLength: workers }, { signal }) => {
    const model = requireModel(models, id)
    const contextLength = Math.min(model.contextLength, workers ?? model.contextLength)
    const { bos, addBos, ending } = model.vocabulary
    const before = addSpecial && addBos && bos !== undefined ? [bos.id] : []
    const after = addSpecial ? ending : []
    const lists: { ids: number[] }[] = []
    for (const [index, text] of texts.entries()) {
      if (limited && Buffer.byteLength(text) > contextLength * model.vocabulary.longestTokenBytes) throw tooLong(contextLength, index, `more than ${contextLength}`)
      // oxlint-disable-next-line no-await-in-loop -- one after the other, with turns of the event loop between
      const { ids, complete } = await model.tokenise(model.pieces(text, parseSpecial), signal, limited ? contextLength : Number.POSITIVE_INFINITY)
      const all = [...before, ...ids, ...after]
      if (limited && (all.length > contextLength || !complete)) throw tooLong(contextLength, index, complete ? String(all.length) : `more than ${contextLength}`)
      lists.push({ ids: all })
    }
    return { lists }
  }
}

function tooLong(contextLength: number, index: number, tokens: string): ServiceError {
  const text = `This model's maximum context length is ${contextLength} tokens. However, input ${index} has ${tokens} tokens.`
  return new ServiceError('INVALID_ARGUMENT', 'context_length_exceeded', text, { param: 'input' })
}

/** The text of token ids. */
export function createDetokenize(models: Models): UnaryHandler<DetokenizeRequest, DetokenizeResponse> {
  return ({ model: id, ids, wantPieces }) => {
    const { vocabulary } = requireModel(models, id)
    if (ids.some((token) => token >= vocabulary.size)) {
      return Promise.reject(new ServiceError('INVALID_ARGUMENT', 'invalid_value', `'tokens' has an id that the vocabulary has not: they are below ${vocabulary.size}.`, { param: 'tokens' }))
    }
    const { texts } = vocabulary
    return Promise.resolve({ text: detokenise(texts, ids), pieces: wantPieces ? ids.map((token) => Buffer.from(texts.spelling(token))) : [] })
  }
}
