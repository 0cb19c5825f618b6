import { expect, test } from 'vitest'
import { readPurpose } from './model-purpose.ts'

const metadata = (architecture: string, pooling?: unknown): unknown => ({
  general: { architecture },
  [architecture]: { block_count: 2, ...(pooling === undefined ? {} : { pooling_type: pooling }) },
})

test.each([
  ['llama', undefined, 'generating'],
  ['qwen3', 0, 'generating'],
  ['bert', 1, 'embedding'],
  ['nomic-bert', 2, 'embedding'],
  ['qwen3', 3, 'embedding'],
  ['qwen3', 4, 'ranking'],
  ['bert', 4, 'ranking'],
])('%s with pooling %s is for %s', (architecture, pooling, purpose) => {
  expect(readPurpose(metadata(architecture, pooling), 'x.gguf')).toBe(purpose)
})

test.each([
  ['an encoder that is not pooled', metadata('bert'), 'unsupported_pooling'],
  ['one that says so', metadata('gemma-embedding', 0), 'unsupported_pooling'],
  ['one that is pooled in a newer way', metadata('qwen3', 5), 'unsupported_pooling'],
  ['no architecture', { general: {} }, 'file_damaged'],
  ['nothing', undefined, 'file_damaged'],
])('%s is refused', (_what, metadata, reason) => {
  expect(() => readPurpose(metadata, 'x.gguf')).toThrow(expect.objectContaining({ reason, message: expect.stringContaining('x.gguf') as string }))
})
