import { expect, test } from 'vitest'
import { generateRequest } from '../../test/support/generate-request.ts'
import { createScriptedEngine } from '../../test/support/scripted-engine.ts'
import { validateGenerate } from './validation.ts'

const engine = createScriptedEngine()

function thrownBy(call: () => unknown): unknown {
  try {
    return call()
  } catch (thrown) {
    return thrown
  }
}

test.each<[string, Parameters<typeof generateRequest>[0], object]>([
  ['no tokens', { tokens: [] }, { code: 'INVALID_ARGUMENT', reason: 'empty_prompt' }],
  ['a token that is none', { tokens: [1, 4_000_000_000] }, { code: 'INVALID_ARGUMENT', reason: 'unknown_token' }],
  ['no room for an answer', { maxTokens: 0 }, { code: 'INVALID_ARGUMENT', param: 'max_tokens' }],
  ['more than the context', { maxTokens: 4094 }, { code: 'INVALID_ARGUMENT', reason: 'context_length_exceeded' }],
  ['a temperature that is no number', { temperature: Number.NaN }, { code: 'INVALID_ARGUMENT', param: 'temperature' }],
  ['top_p 0', { topP: 0 }, { code: 'INVALID_ARGUMENT', param: 'top_p' }],
  ['an empty stop sequence', { stop: [''] }, { code: 'INVALID_ARGUMENT', param: 'stop' }],
  ['a negative min_p', { minP: -0.1 }, { code: 'INVALID_ARGUMENT', param: 'min_p' }],
  ['repeat_penalty 0', { repeatPenalty: 0 }, { code: 'INVALID_ARGUMENT', param: 'repeat_penalty' }],
  ['a window beyond reason', { penaltyWindow: 65_537 }, { code: 'INVALID_ARGUMENT', param: 'repeat_last_n' }],
  ['an endless penalty', { presencePenalty: Number.POSITIVE_INFINITY }, { code: 'INVALID_ARGUMENT', param: 'presence_penalty' }],
  ['no penalty', { frequencyPenalty: Number.NaN }, { code: 'INVALID_ARGUMENT', param: 'frequency_penalty' }],
  ['a bias of no token', { logitBias: { 4_000_000_000: 1 } }, { reason: 'unknown_token', param: 'logit_bias' }],
  ['a bias that is too strong', { logitBias: { 5: -101 } }, { code: 'INVALID_ARGUMENT', param: 'logit_bias' }],
  ['too many alternatives', { topLogprobs: 21 }, { code: 'INVALID_ARGUMENT', param: 'top_logprobs' }],
  ['a visible token that is none', { visibleTokens: [4_000_000_000] }, { code: 'INVALID_ARGUMENT', param: 'visible_tokens' }],
  ['a grammar after nothing', { constraint: { grammar: 'root ::= "a"', after: [''] } }, { code: 'INVALID_ARGUMENT', param: 'grammar' }],
  [
    'reasoning without an end',
    { reasoningBudget: { tokens: 1, begin: '', end: '', endTokens: [1] } },
    { code: 'INVALID_ARGUMENT', param: 'reasoning_budget' },
  ],
  [
    'reasoning that nothing can end',
    { reasoningBudget: { tokens: 1, begin: '', end: '</think>', endTokens: [] } },
    { code: 'INVALID_ARGUMENT', param: 'reasoning_budget' },
  ],
  ['too many stop sequences', { stop: Array.from({ length: 17 }, String) }, { code: 'INVALID_ARGUMENT', param: 'stop' }],
])('%s is refused', (_what, fields, error) => {
  expect(thrownBy(() => validateGenerate(generateRequest(fields), engine))).toMatchObject({ code: 'INVALID_ARGUMENT', ...error })
})

test('no sampling is refused', () => {
  expect(thrownBy(() => validateGenerate({ ...generateRequest(), sampling: undefined }, engine))).toMatchObject({ param: 'sampling' })
})

test('all that may be said at once is taken, at the edges of what may be said', () => {
  const request = generateRequest({
    tokens: [0, 999_999],
    maxTokens: 4094,
    temperature: 100,
    topP: 1e-9,
    topK: 0xffff_ffff,
    minP: 1,
    repeatPenalty: 0.01,
    penaltyWindow: 4096,
    presencePenalty: -100,
    frequencyPenalty: 100,
    logitBias: { 0: -100, 999_999: 100 },
    seed: 0xffff_ffff,
    stop: Array.from({ length: 16 }, () => 'x'.repeat(1024)),
    topLogprobs: 20,
    visibleTokens: [1, 2],
    constraint: { grammar: 'root ::= "a"', after: ['</think>'] },
    reasoningBudget: { tokens: 0, begin: '', end: '</think>', endTokens: [1] },
  })
  expect(validateGenerate(request, engine)).toBe(request.sampling)
})
