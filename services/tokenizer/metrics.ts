import { Counter, Histogram, type Registry } from 'prom-client'

export interface TokenizerMetrics {
  prepareSeconds: Histogram
  promptTokens: Counter
  errors: Counter<'reason'>
}

export function createMetrics(registry: Registry): TokenizerMetrics {
  const registers = [registry]
  return {
    prepareSeconds: new Histogram({
      name: 'intramuros_tokenizer_prepare_seconds',
      help: 'Time to render and tokenise one prompt.',
      buckets: [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5],
      registers,
    }),
    promptTokens: new Counter({
      name: 'intramuros_tokenizer_prompt_tokens_total',
      help: 'Tokens of the prompts that were prepared.',
      registers,
    }),
    errors: new Counter({
      name: 'intramuros_tokenizer_prepare_errors_total',
      help: 'Prompts that could not be prepared, by reason.',
      labelNames: ['reason'],
      registers,
    }),
  }
}
