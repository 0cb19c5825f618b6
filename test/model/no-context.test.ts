import { expect, test } from 'vitest'
import { EngineLoadError } from '../../services/inference-worker/engines/load-error.ts'
import { statusOfLoadError } from '../../services/inference-worker/exit-status.ts'
import { exitStatus } from '../../services/shared/supervision.ts'
import { withMetadata } from '../support/gguf-edit.ts'
import { loadRandomModel, randomModels } from '../support/random-models.ts'
import { realOptions } from '../support/real-worker.ts'

// llama.cpp loads one of 0, and has no room for a token then: the worker would never be ready.
test.each([
  ['of no tokens', 0, 'says that its model has a context of 0 tokens'],
  ['that it does not tell', undefined, 'does not tell the llama.context_length'],
])('a model with a context %s is refused as damaged, whatever context is asked for', async (_what, value, message) => {
  const models = await randomModels(realOptions.path)
  const path = await withMetadata(models.of('llama'), { 'llama.context_length': value })
  const failures = await Promise.all([0, 256].map((contextLength) => loadRandomModel(path, { contextLength }).then(() => undefined, (thrown: unknown) => thrown)))
  for (const failure of failures) {
    expect(failure).toBeInstanceOf(EngineLoadError)
    expect((failure as EngineLoadError).message).toContain(message)
    expect(statusOfLoadError[(failure as EngineLoadError).reason]).toBe(exitStatus.badData)
  }
}, 300_000)
