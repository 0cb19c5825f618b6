import type { Llama, LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp'
import { expect, test } from 'vitest'
import { openInternals } from './llama-internals.ts'

/** The shape of node-llama-cpp's own objects; `decode` stands for the decode step of a sequence. */
function parts({ decode, sampleToken }: { decode?: unknown; sampleToken?: unknown }) {
  const sequence = { context: { _ctx: { sampleToken } }, _decodeTokens: decode, tokenMeter: undefined }
  return {
    llama: { _bindings: { AddonSampler: Object } } as unknown as Llama,
    model: { _model: {} } as unknown as LlamaModel,
    sequence: sequence as unknown as LlamaContextSequence,
  }
}

const tokens = [1, 2, 3] as Token[]
const sample = async (): Promise<number> => 5

test('another version of node-llama-cpp is told when the engine loads, not at the first request', () => {
  const good = parts({ decode: sample, sampleToken: sample })
  expect(() => openInternals(good.llama, good.model, good.sequence)).not.toThrow()
  for (const bad of [parts({ decode: sample }), parts({ sampleToken: sample })])
    expect(() => openInternals(bad.llama, bad.model, bad.sequence)).toThrow(/not known here/)
  expect(() => openInternals({} as Llama, good.model, good.sequence)).toThrow(expect.objectContaining({ reason: 'load_failed' }))
})

test('what is thrown while logits are read reaches the caller, and never node-llama-cpp', async () => {
  const seen: unknown[] = []
  const decode = async (_tokens: Token[], logits: boolean[], ...rest: unknown[]) => {
    seen.push(logits.length, await (rest.at(-1) as (logits: number) => Promise<unknown>)(7))
  }
  const { llama, model, sequence } = parts({ decode, sampleToken: sample })
  const internals = openInternals(llama, model, sequence)
  expect(await internals.decode(sequence, tokens, async (logits) => logits + 1)).toBe(8)
  await expect(internals.decode(sequence, tokens, async () => Promise.reject(new RangeError('reading')))).rejects.toThrow('reading')
  expect(seen).toEqual([3, null, 3, null])
  const silent = parts({ decode: async () => undefined, sampleToken: sample })
  await expect(
    openInternals(silent.llama, silent.model, silent.sequence).decode(silent.sequence, tokens, async () => 1),
  ).rejects.toThrow('no logits')
})
