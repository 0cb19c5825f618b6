import { Type } from 'typebox'
import { Check } from 'typebox/value'
import { EngineLoadError } from './load-error.ts'

const General = Type.Object({ general: Type.Object({ architecture: Type.String() }) })
const Pooled = Type.Object({ pooling_type: Type.Integer() })

/** llama.cpp's llama_pooling_type. */
const pooling = { none: 0, mean: 1, cls: 2, last: 3, rank: 4 } as const

/** What a model is for: text that goes on, one vector for a text, or one score, pooled as its file says. Throws EngineLoadError. */
export function readPurpose(metadata: unknown, path: string): 'generating' | 'embedding' | 'ranking' {
  if (!Check(General, metadata)) throw new EngineLoadError('file_damaged', `${path} does not name the architecture of its model.`)
  const { architecture } = metadata.general
  const own: unknown = Reflect.get(metadata, architecture)
  const type = Check(Pooled, own) ? own.pooling_type : pooling.none
  if (type === pooling.mean || type === pooling.cls || type === pooling.last) return 'embedding'
  if (type === pooling.rank) return 'ranking'
  if (type !== pooling.none || isEncoder(architecture)) {
    throw new EngineLoadError(
      'unsupported_pooling',
      `${path} is an encoder that is pooled in a way that is not known here; known are mean, CLS, last token and rank.`,
    )
  }
  return 'generating'
}

function isEncoder(architecture: string): boolean {
  return /bert|embedding|^t5encoder$/.test(architecture)
}
