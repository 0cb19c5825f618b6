import type { GeneratingEngine } from '../../services/inference-worker/engines/engine.ts'
import { serveEngine } from '../../services/inference-worker/serve-engine.ts'
import { runService } from '../../services/shared/lifecycle.ts'
import { createScriptedEmbeddingEngine, type EmbeddingScript } from './scripted-embedding-engine.ts'
import { createScriptedEngine, type Script } from './scripted-engine.ts'

/** What TEST_BEHAVIOUR holds, as JSON. */
export type WorkerScript = (Script & { embedding?: false }) | (EmbeddingScript & { embedding: true })

/** The inference worker as it is, with a scripted engine in place of the real one. */
await runService('inference-worker', (context) => {
  const { model, slots, contextLength } = context.config.inferenceWorker
  const script = { slots, contextLength, ...(JSON.parse(process.env['TEST_BEHAVIOUR'] ?? '{}') as WorkerScript), model }
  return serveEngine(context, script.embedding === true ? createScriptedEmbeddingEngine(script) : sparingProbes(script))
})

/** What goes wrong on purpose must not go wrong in the probe that makes the worker ready. */
function sparingProbes(script: Script): GeneratingEngine {
  const engine = createScriptedEngine(script)
  const healthy = createScriptedEngine({ model: engine.model, slots: engine.slots, contextLength: engine.contextLength })
  return { ...engine, check: (slot, signal) => healthy.check(slot, signal) }
}
