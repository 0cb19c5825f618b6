import Type from 'typebox'
import { ignored, refused } from './parameter.ts'

/**
 * Parameters of other servers' chat and completions APIs (llama-server, vLLM) that people send here out of habit. None of them may be
 * taken for unknown and be dropped silently when it would change the answer.
 */
export const extensionFields = {
  add_special_tokens: refused([null, true], 'the prompt always has the tokens that its model wants.'),
  allowed_token_ids: refused([null], 'there is no such choice of tokens. Use logit_bias or grammar.'),
  bad_words: refused([null], 'words can not be banned. Use logit_bias.'),
  cache_prompt: ignored(Type.Unknown(), 'Prefix caching is the worker\'s own affair.'),
  cache_salt: ignored(Type.Unknown(), 'Caches are never shared between teams.'),
  continue_final_message: refused([null, false], "the last message can't be continued; a new turn begins."),
  dry_multiplier: refused([null, 0], 'there is no DRY sampler.'),
  dynatemp_range: refused([null, 0], 'there is no dynamic temperature.'),
  guided_choice: refused([null], 'use response_format or grammar.'),
  guided_grammar: refused([null], 'use grammar.'),
  guided_json: refused([null], 'use response_format.'),
  guided_regex: refused([null], 'use grammar, or response_format with a pattern.'),
  id_slot: refused([null, -1], 'slots are chosen by the worker.'),
  ignore_eos: refused([null, false], "an answer ends where the model ends it."),
  include_stop_str_in_output: refused([null, false], 'a stop sequence is never part of the answer.'),
  length_penalty: refused([null, 1], 'there is no beam search.'),
  logits_processors: refused([null], 'there are none.'),
  lora: refused([null], 'there are no adapters.'),
  min_tokens: refused([null, 0], 'an answer ends where the model ends it.'),
  mirostat: refused([null, 0], 'there is no mirostat sampler.'),
  n_probs: refused([null, 0], 'use logprobs and top_logprobs.'),
  post_sampling_probs: refused([null, false], "log-probabilities are the model's own."),
  priority: refused([null, 0], 'requests have no priority of their own.'),
  prompt_logprobs: refused([null], "the prompt's log-probabilities can't be told."),
  return_tokens_as_token_ids: refused([null, false], 'tokens are told as text.'),
  samplers: refused([null], 'their order is fixed.'),
  skip_special_tokens: refused([null, true], 'special tokens are never part of the answer.'),
  stop_token_ids: refused([null], 'use stop.'),
  structured_outputs: refused([null], 'use response_format or grammar.'),
  timings_per_token: refused([null, false], 'timings are in the metrics.'),
  top_n_sigma: refused([null, -1], 'there is no top-n-sigma sampler.'),
  truncate_prompt_tokens: refused([null], 'a prompt is never cut.'),
  typical_p: refused([null, 1], 'there is no locally typical sampling.'),
  use_beam_search: refused([null, false], 'there is no beam search.'),
  xtc_probability: refused([null, 0], 'there is no XTC sampler.'),
}
