/** A vocabulary and the templates of models that have it or one like it. */
export interface Family {
  /** Name of one of llama.cpp's ggml-vocab-*.gguf; undefined: that of the default model. */
  vocabulary: string | undefined
  /** Special tokens that these models have beyond those of the vocabulary file. */
  control?: readonly string[]
  /** Their added tokens that are no control tokens. */
  userDefined?: readonly string[]
  /** Names of llama.cpp's templates. */
  templates: readonly string[]
}

const chatml = ['<|im_start|>', '<|im_end|>']
const think = ['<think>', '</think>']
const toolCall = ['<tool_call>', '</tool_call>', '<tool_response>', '</tool_response>']
const headers = ['<|python_tag|>', '<|eom_id|>']
const deepseek = [
  '<｜User｜>',
  '<｜Assistant｜>',
  '<｜tool▁calls▁begin｜>',
  '<｜tool▁calls▁end｜>',
  '<｜tool▁call▁begin｜>',
  '<｜tool▁call▁end｜>',
  '<｜tool▁outputs▁begin｜>',
  '<｜tool▁outputs▁end｜>',
  '<｜tool▁output▁begin｜>',
  '<｜tool▁output▁end｜>',
  '<｜tool▁sep｜>',
]
const mistral = ['[INST]', '[/INST]', '[AVAILABLE_TOOLS]', '[/AVAILABLE_TOOLS]', '[TOOL_RESULTS]', '[/TOOL_RESULTS]', '[TOOL_CALLS]']
const mistralLater = ['[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]', '[TOOL_CONTENT]', '[CALL_ID]', '[ARGS]', '[THINK]', '[/THINK]']
const harmony = ['<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|constrain|>', '<|return|>', '<|call|>']

export const families: readonly Family[] = [
  // SmolLM2's own template is in its file; llama.cpp has that of its successor.
  { vocabulary: undefined, userDefined: think, templates: ['HuggingFaceTB-SmolLM3-3B'] },
  {
    vocabulary: 'qwen2',
    userDefined: [...toolCall, ...think],
    templates: ['Qwen-Qwen2.5-7B-Instruct', 'Qwen-Qwen3-0.6B', 'Qwen-QwQ-32B'],
  },
  { vocabulary: 'qwen2', control: deepseek, userDefined: think, templates: ['deepseek-ai-DeepSeek-R1-Distill-Qwen-32B'] },
  { vocabulary: 'qwen35', userDefined: [...toolCall, ...think], templates: ['Qwen3-Coder', 'Qwen3.5-4B'] },
  { vocabulary: 'llama-bpe', control: chatml, userDefined: toolCall, templates: ['NousResearch-Hermes-3-Llama-3.1-8B-tool_use'] },
  {
    vocabulary: 'llama-bpe',
    control: headers,
    templates: ['meta-llama-Llama-3.1-8B-Instruct', 'meta-llama-Llama-3.2-3B-Instruct', 'meta-llama-Llama-3.3-70B-Instruct'],
  },
  { vocabulary: 'llama-spm', control: mistral, templates: ['mistralai-Mistral-Nemo-Instruct-2407'] },
  {
    vocabulary: 'llama-bpe',
    control: [...mistral, ...mistralLater],
    templates: ['Mistral-Small-3.2-24B-Instruct-2506', 'mistralai-Ministral-3-14B-Reasoning-2512'],
  },
  { vocabulary: 'gemma-4', templates: ['google-gemma-2-2b-it', 'google-gemma-4-31B-it'] },
  {
    vocabulary: 'deepseek-llm',
    control: deepseek,
    userDefined: think,
    templates: ['llama-cpp-deepseek-r1', 'deepseek-ai-DeepSeek-V3.1', 'deepseek-ai-DeepSeek-V3.2'],
  },
  { vocabulary: 'llama-bpe', control: harmony, templates: ['openai-gpt-oss-120b'] },
  { vocabulary: 'phi-3', templates: ['microsoft-Phi-3.5-mini-instruct'] },
  { vocabulary: 'command-r', templates: ['CohereForAI-c4ai-command-r7b-12-2024-tool_use'] },
  { vocabulary: 'qwen2', control: ['<|start_of_role|>', '<|end_of_role|>'], userDefined: toolCall, templates: ['ibm-granite-granite-3.3-2B-Instruct', 'ibm-granite-granite-4.0'] },
]
