import { rm } from 'node:fs/promises'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { encodeMetadata } from '../support/gguf-file.ts'
import { type State, stateWith } from './support/alone.ts'
import { createModelFiles, littleEndian } from './support/model-files.ts'

const files = createModelFiles()
afterAll(() => files.remove())

let state: State | undefined
afterEach(() => state?.remove())

/** How the service ends with that file, and what it says. */
async function startWith(path: string, service: 'inference-worker' | 'tokenizer' = 'inference-worker') {
  state = await stateWith(path)
  const run = state.run(service, { env: { INTRAMUROS_INFERENCE_WORKER_CONTEXT_LENGTH: '256' } })
  const ended = await Promise.race([run.ended, run.ready().then(() => 'ready' as const, () => run.ended)])
  const said = run
    .output()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('{'))
  return { ended, said: said.join('\n'), path }
}

const entryCount = 16
const firstKeyLength = 24

describe('a worker with a file that is', () => {
  test.each<[string, () => string]>([
    ['cut inside the vocabulary', () => files.cut(Math.floor(files.header / 2))],
    ['cut in the middle', () => files.cut(Math.floor(files.size / 2))],
    ['no GGUF file at all', () => files.patched(0, Buffer.from('GGML'))],
    ['said to have 2^60 entries', () => files.patched(entryCount, littleEndian(2n ** 60n))],
    ['said to have a name of 2^62 bytes', () => files.patched(firstKeyLength, littleEndian(2n ** 62n))],
    ['of an unknown architecture', () => files.edited(({ metadata }) => metadata.set('general.architecture', encodeMetadata('unheard-of')))],
    ['of an unknown tokenizer', () => files.edited(({ metadata }) => metadata.set('tokenizer.ggml.model', encodeMetadata('unheard-of')))],
    ['of a tensor beyond its end', () => files.edited(({ tensors }) => tensors.slice(5, 6).forEach((tensor) => (tensor.offset = 2n ** 60n)))],
    ['of weights that are no numbers', () => files.patched(files.header, Buffer.alloc(files.size - files.header, 0xff))],
    ['of fewer layers than it has weights of', () => files.edited(({ metadata }) => metadata.set('llama.block_count', encodeMetadata(29)))],
    ['of no width', () => files.edited(({ metadata }) => metadata.set('llama.embedding_length', encodeMetadata(0)))],
    ['without weights', () => files.edited(({ tensors }) => tensors.splice(0))],
  ])('%s ends with status 65, and says which and why', async (_, make) => {
    const { ended, said, path } = await startWith(make())
    expect({ ended, said }).toEqual({ ended: 65, said: expect.stringContaining(path) as unknown })
    // One sentence or two, not a stack.
    expect(said).not.toMatch(/^ +at /m)
    expect(said.length).toBeLessThan(1000)
  })

  test('missing ends with status 66', async () => {
    const path = files.cut(1000)
    await rm(path)
    const { ended, said } = await startWith(path)
    expect({ ended, said }).toEqual({ ended: 66, said: expect.stringContaining(path) as unknown })
  })

  test('a folder ends with status 66', async () => {
    expect(await startWith(files.folder)).toMatchObject({ ended: 66, said: expect.stringContaining(files.folder) as unknown })
  })
})

test('a tokenizer with a file that is cut short ends with status 65, and says which', async () => {
  const { ended, said, path } = await startWith(files.cut(20), 'tokenizer')
  expect({ ended, said }).toEqual({ ended: 65, said: expect.stringContaining(path) as unknown })
})
