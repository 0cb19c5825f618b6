import type { Llama, LlamaContext, LlamaModel } from 'node-llama-cpp'
import { expect, test } from 'vitest'
import { type LlamaInternals, type NativeSampler, openInternals } from './llama-internals.ts'

/** The shape of node-llama-cpp's own objects. */
function parts(native: object) {
  return {
    llama: { _bindings: { AddonSampler: Object } } as unknown as Llama,
    model: { _model: {} } as unknown as LlamaModel,
    context: { _ctx: native } as unknown as LlamaContext,
  }
}

const nothing = (): void => undefined

/** A native context that notes what it is asked. */
function nativeContext() {
  const asked: unknown[] = []
  let size = 0
  const open: PromiseWithResolvers<number>[] = []
  const native = {
    initBatch: (tokens: number) => void asked.push(['batch', tokens]),
    addToBatch(sequence: number, position: number, tokens: Uint32Array, logits: Uint32Array) {
      asked.push([sequence, position, [...tokens], [...logits]])
      const first = size
      size += tokens.length
      return logits.map((index) => first + index)
    },
    async decodeBatch() {
      asked.push('decode')
      size = 0
    },
    removeTokenCellsFromSequence: nothing,
    getSequenceKvCacheMinPosition: nothing,
    sampleToken(): Promise<number> {
      const call = Promise.withResolvers<number>()
      open.push(call)
      return call.promise
    },
  }
  return { native, asked, open }
}

function open({ llama, model, context }: ReturnType<typeof parts>): LlamaInternals {
  return openInternals(llama, model, context)
}

test('another version of node-llama-cpp is told when the engine loads, not at the first request', () => {
  const { native } = nativeContext()
  const good = parts(native)
  expect(() => open(good)).not.toThrow()
  for (const name of Object.keys(native)) expect(() => open(parts({ ...native, [name]: undefined })), name).toThrow(/not known here/)
  expect(() => open({ ...good, llama: {} as Llama })).toThrow(expect.objectContaining({ reason: 'load_failed' }))
})

test('a step holds what everybody wants, and tells where the logits are that are wanted', async () => {
  const { native, asked } = nativeContext()
  const internals = open(parts(native))
  const entry = (sequence: number, position: number, tokens: number[], logits: boolean) => ({ sequence, position, tokens: Uint32Array.from(tokens), logits })
  expect(await internals.decode([entry(2, 0, [5, 6, 7], false), entry(0, 9, [8], true), entry(1, 4, [1, 2], true)])).toEqual([3, 5])
  expect(asked).toEqual([['batch', 6], [2, 0, [5, 6, 7], []], [0, 9, [8], [0]], [1, 4, [1, 2], [1]], 'decode'])
})

test('of each step, the first to read its logits does it alone', async () => {
  const { native, open: calls } = nativeContext()
  const internals = open(parts(native))
  const sampler = {} as NativeSampler
  for (const step of [0, 1]) {
    await internals.decode([{ sequence: 0, position: step, tokens: Uint32Array.of(1), logits: true }])
    const all = [internals.sample(0, sampler), internals.sample(1, sampler), internals.sample(2, sampler)]
    await new Promise(setImmediate)
    expect(calls).toHaveLength(1)
    calls.shift()?.resolve(4)
    await new Promise(setImmediate)
    expect(calls).toHaveLength(2)
    for (const call of calls.splice(0)) call.resolve(5)
    expect(await Promise.all(all)).toEqual([4, 5, 5])
  }
})

test('that the first could not read is its own failure alone', async () => {
  const { native, open: calls } = nativeContext()
  const internals = open(parts(native))
  const first = internals.sample(0, {} as NativeSampler)
  const second = internals.sample(1, {} as NativeSampler)
  calls[0]?.reject(new RangeError('no'))
  await expect(first).rejects.toThrow('no')
  await new Promise(setImmediate)
  calls[1]?.resolve(-1)
  await expect(second).rejects.toThrow('no token could be drawn')
})
