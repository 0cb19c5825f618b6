import { readFile } from 'node:fs/promises'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startLlama } from '../../services/tokenizer/vocabulary.ts'
import { withMetadata } from '../support/gguf-edit.ts'
import { encodeMetadata, parseGguf, serialiseGguf } from '../support/gguf-file.ts'

const path = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
let llama: Awaited<ReturnType<typeof startLlama>>

beforeAll(async () => {
  llama = await startLlama(pino({ level: 'silent' }))
})
afterAll(async () => {
  await llama.dispose()
})

it('takes a file apart and puts it together again, byte by byte', async () => {
  const content = await readFile(path)
  expect(Buffer.concat(serialiseGguf(parseGguf(content))).equals(content)).toBe(true)
})

it('replaces, adds and takes out what llama.cpp then reads', async () => {
  const changed = await withMetadata(path, {
    'tokenizer.chat_template': '{{ messages }}',
    'tokenizer.ggml.fim_pre_token_id': 5,
    'general.tags': ['a', 'b'],
    'general.name': undefined,
    'tokenizer.ggml.add_bos_token': true,
    'llama.rope.freq_base': { float32: 10_000 },
  })
  const model = await llama.loadModel({ modelPath: changed })
  const { tokenizer, general } = model.fileInfo.metadata
  expect(tokenizer).toMatchObject({ chat_template: '{{ messages }}', ggml: { fim_pre_token_id: 5, add_bos_token: true } })
  expect(general).toMatchObject({ tags: ['a', 'b'] })
  expect(general).not.toHaveProperty('name')
  expect(model.tokens.infill.prefix).toBe(5)
  await model.dispose()
  expect(await withMetadata(path, { 'tokenizer.chat_template': 'other' })).not.toBe(changed)
})

it('writes arrays of numbers', () => {
  const whole = encodeMetadata(Int32Array.of(-1, 2))
  expect(whole.toString('hex')).toBe('09000000050000000200000000000000ffffffff02000000')
  const real = encodeMetadata(Float32Array.of(1))
  expect(real.toString('hex')).toBe('090000000600000001000000000000000000803f')
})
