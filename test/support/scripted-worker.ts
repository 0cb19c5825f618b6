import { serveEngine } from '../../services/inference-worker/serve-engine.ts'
import type { Engine } from '../../services/inference-worker/engines/engine.ts'
import { runService } from '../../services/shared/lifecycle.ts'
import { createScriptedEngine, type Script } from './scripted-engine.ts'

/** The inference worker as it is, with a scripted engine in place of the real one. Its behaviour is in TEST_BEHAVIOUR, as JSON. */
await runService('inference-worker', (context) => {
  const { model, slots, contextLength } = context.config.inferenceWorker
  const behaviour = JSON.parse(process.env['TEST_BEHAVIOUR'] ?? '{}') as Script
  return serveEngine(context, sparingProbes({ slots, contextLength, ...behaviour, model }))
})

/** What goes wrong on purpose must not go wrong in the probe that makes the worker ready, a prompt of one token. */
function sparingProbes(script: Script): Engine {
  const engine = createScriptedEngine(script)
  const healthy = createScriptedEngine({ model: engine.model, slots: engine.slots, contextLength: engine.contextLength })
  return { ...engine, decode: (request, signal) => (request.tokens.length === 1 ? healthy : engine).decode(request, signal) }
}
