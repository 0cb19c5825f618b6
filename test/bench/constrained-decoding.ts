/**
 * What constrained decoding costs a worker in throughput: the real small model decodes answers freely (the rival) and answers kept to a
 * JSON Schema of 20 fields, in turn, alone and four at once, in one run.
 *
 *   node test/bench/constrained-decoding.ts [--quick]
 */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { GenerateRequest } from '../../proto/gen/intramuros/v1/inference.ts'
import { createLlamaEngine } from '../../services/inference-worker/engines/llama.ts'
import { createMetrics } from '../../services/inference-worker/metrics.ts'
import { createInferenceService } from '../../services/inference-worker/service.ts'
import { createGrammarBuilder } from '../../services/shared/grammar/builder.ts'
import { loadVocabulary, startLlama } from '../../services/tokenizer/vocabulary.ts'
import fetchTestModel from '../support/fetch-model.ts'
import { until } from '../support/platform.ts'
import { generateRequest, greedy } from '../support/generate-request.ts'

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const rounds = values.quick ? 1 : 5
const answerTokens = values.quick ? 32 : 160

await fetchTestModel()
const path = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
const log = pino({ enabled: false })
const llama = await startLlama(log)
const vocabulary = await loadVocabulary(llama, path)
const engine = await createLlamaEngine({ model: 'm', path, slots: 4, spareSlots: 0, contextLength: 2048, batchSize: 64, threads: 1, gpu: 'off' }, log)
const service = createInferenceService({
  engine,
  options: { maxQueued: 8, queueTimeoutMs: 60_000, stepTimeoutMs: 60_000, probeIntervalMs: 600_000 },
  log,
  metrics: createMetrics(new Registry()),
  onHang: () => process.exit(1),
})

const kinds = [
  { type: 'string' },
  { type: 'integer' },
  { type: 'string', maxLength: 100 },
  { enum: ['red', 'green', 'blue', 'ultraviolet'] },
  { type: 'array', items: { type: 'string' }, maxItems: 8 },
  { type: 'boolean' },
]
const schema = {
  type: 'object',
  properties: Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`field_${index}`, kinds[index % kinds.length]])),
  required: Array.from({ length: 20 }, (_, index) => `field_${index}`),
  additionalProperties: false,
}
const builder = createGrammarBuilder()
const grammar = builder.build(builder.schema(schema, ''))
const tokens = [...vocabulary.tokenise('A person as a JSON object with all of its twenty fields, and a long story about it:\n')]

/** Microseconds of decoding for each token after the first, summed over requests at once. */
async function decode(concurrency: number, constrained: boolean): Promise<{ tokens: number; us: number }> {
  const request: GenerateRequest = {
    ...generateRequest({ model: 'm', tokens, maxTokens: answerTokens }),
    sampling: { ...greedy, temperature: 0.8, seed: 7, logitBias: {} },
    constraint: constrained ? { grammar, after: [] } : undefined,
  }
  const begin = performance.now()
  const counts = await Promise.all(
    Array.from({ length: concurrency }, async () => {
      let count = 0
      for await (const { event } of service.generate(request, { requestId: 'r', peer: 'bench', signal: new AbortController().signal })) {
        if (event?.$case === 'finish') count = event.value.outputTokens
      }
      return count
    }),
  )
  return { tokens: counts.reduce((sum, count) => sum + count, 0), us: (performance.now() - begin) * 1000 }
}

print(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}, 1 thread; SmolLM2-135M Q4_1, ${answerTokens} tokens an answer, temperature 0.8, ${rounds} rounds in turn`)
print('  at once | free, tokens/s | kept to the schema, tokens/s | ratio, median of rounds (aim: at least 0.85)')
await until(() => service.ready(), 'the engine to answer')
await decode(1, true) // compiles the grammar, and the code
await decode(1, false)
for (const concurrency of [1, 4]) {
  const ratios: number[] = []
  const sum = { free: { tokens: 0, us: 0 }, kept: { tokens: 0, us: 0 } }
  for (let round = 0; round < rounds; round++) {
    const free = await decode(concurrency, false)
    const kept = await decode(concurrency, true)
    ratios.push(kept.tokens / kept.us / (free.tokens / free.us))
    for (const [total, one] of [[sum.free, free], [sum.kept, kept]] as const) {
      total.tokens += one.tokens
      total.us += one.us
    }
  }
  const speed = ({ tokens: count, us }: { tokens: number; us: number }): string => ((count / us) * 1e6).toFixed(1)
  const median = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)] ?? 0
  print(`  ${String(concurrency).padStart(7)} | ${speed(sum.free).padStart(14)} | ${speed(sum.kept).padStart(28)} | ${median.toFixed(3)}`)
}
await service.close()
await vocabulary.dispose()
await llama.dispose()

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
