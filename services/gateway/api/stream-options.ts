import Type, { type Static } from 'typebox'
import { invalid } from './body.ts'
import { nullable, refused } from './parameter.ts'

export const streamOptionsField = nullable(
  Type.Object({
    include_usage: nullable(Type.Boolean(), 'A last event tells the tokens used.'),
    include_obfuscation: refused([null, false], 'events are not padded.'),
    continuous_usage_stats: refused([null, false], 'usage is told at the end.'),
  }),
  'Only with `stream`.',
)

export function includeUsageOf(body: { stream?: boolean | null; stream_options?: Static<typeof streamOptionsField> }): boolean {
  if (body.stream_options == null) return false
  if (body.stream === true) return body.stream_options.include_usage ?? false
  throw invalid({ param: 'stream_options', message: `'stream_options' is only allowed when 'stream' is true.` })
}
