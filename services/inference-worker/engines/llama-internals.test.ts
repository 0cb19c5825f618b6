import type { Llama, LlamaContext, LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp'
import { expect, test } from 'vitest'
import { type LlamaInternals, openInternals } from './llama-internals.ts'

/** The shape of node-llama-cpp's own objects; `decode` stands for the decode step of a sequence. */
function parts({ decode, sampleToken }: { decode?: unknown; sampleToken?: unknown }) {
  const sequence = { _decodeTokens: decode, tokenMeter: undefined }
  return {
    llama: { _bindings: { AddonSampler: Object } } as unknown as Llama,
    model: { _model: {} } as unknown as LlamaModel,
    context: { _ctx: { sampleToken } } as unknown as LlamaContext,
    sequence: sequence as unknown as LlamaContextSequence,
  }
}

function open({ llama, model, context, sequence }: ReturnType<typeof parts>): LlamaInternals {
  return openInternals(llama, model, context, [sequence])
}

const tokens = [1, 2, 3] as Token[]
const sample = async (): Promise<number> => 5

test('another version of node-llama-cpp is told when the engine loads, not at the first request', () => {
  const good = parts({ decode: sample, sampleToken: sample })
  expect(() => open(good)).not.toThrow()
  for (const bad of [parts({ decode: sample }), parts({ sampleToken: sample })]) expect(() => open(bad)).toThrow(/not known here/)
  expect(() => open({ ...good, llama: {} as Llama })).toThrow(expect.objectContaining({ reason: 'load_failed' }))
})

test('what is thrown while logits are read reaches the caller, and never node-llama-cpp', async () => {
  const seen: unknown[] = []
  const decode = async (_tokens: Token[], logits: boolean[], ...rest: unknown[]) => {
    seen.push(logits.length, await (rest.at(-1) as (logits: number) => Promise<unknown>)(7))
  }
  const whole = parts({ decode, sampleToken: sample })
  const { sequence } = whole
  const internals = open(whole)
  expect(await internals.decode(sequence, tokens, async (logits) => logits + 1)).toBe(8)
  await expect(internals.decode(sequence, tokens, async () => Promise.reject(new RangeError('reading')))).rejects.toThrow('reading')
  expect(seen).toEqual([3, null, 3, null])
  const silent = parts({ decode: async () => undefined, sampleToken: sample })
  await expect(open(silent).decode(silent.sequence, tokens, async () => 1)).rejects.toThrow('no logits')
})
