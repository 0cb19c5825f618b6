/**
 * What of llama.cpp's knowledge of architectures a model's file does not tell: which layers look only at a window of the last
 * tokens (src/models/*.cpp, load_swa_pattern). A file's own pattern wins.
 */
export interface WindowPattern {
  /** One layer of so many looks at all tokens. */
  period: number
  /** It is the first of them rather than the last. */
  denseFirst?: boolean
  /** The window when the file does not tell it; without one such a file has no windows. */
  window?: number
}

export const windowPatterns: Readonly<Record<string, WindowPattern>> = {
  afmoe: { period: 4 },
  cohere2: { period: 4 },
  cohere2moe: { period: 4, denseFirst: true },
  'exaone-moe': { period: 4 },
  exaone4: { period: 4 },
  'gemma-embedding': { period: 6 },
  gemma2: { period: 2, window: 4096 },
  gemma3: { period: 6 },
  gemma3n: { period: 5 },
  'gpt-oss': { period: 2 },
  laguna: { period: 4, denseFirst: true },
  llama4: { period: 4, window: 8192 },
  mellum: { period: 4 },
  'modern-bert': { period: 3, denseFirst: true },
  'muse-glimmer': { period: 4 },
  olmo2: { period: 4 },
  plamo3: { period: 8 },
  smallthinker: { period: 4, denseFirst: true },
}

/** Only the first layers have a cache; the others read theirs. */
export const cachedLayers: Readonly<Record<string, number>> = { gemma3n: 20 }

/** Encoders and diffusion models: all tokens of a text are looked at in one step, and nothing is kept. */
export const cacheless: ReadonlySet<string> = new Set([
  'bert', 'jina-bert-v2', 'jina-bert-v3', 'nomic-bert', 'nomic-bert-moe', 'neo-bert', 'eurobert', 'wavtokenizer-dec', 'modern-bert',
  'gemma-embedding', 'dream', 'llada', 'llada-moe', 'rnd1', 'clef',
])

/** Their cache is built in ways that are not calculated here. */
export const unusualCache: ReadonlySet<string> = new Set([
  'deepseek32', 'deepseek4', 'dflash', 'dots3note', 'eagle3', 'gemma4-assistant', 'glm-dsa', 'glm5-next', 'hy-v4', 'minimax-01', 'minimax-m3', 'qwen4exp', 't5',
])
