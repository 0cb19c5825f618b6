import { withMetadata } from '../../support/gguf-edit.ts'

/** In the manner of Qwen 3: reasons, and calls tools. */
const chatTemplate = `{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- '# Tools\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nFor each call, write <tool_call>\\n{"name": ..., "arguments": ...}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.reasoning_content %}{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif not (message.role == 'system' and loop.first and tools) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}`

/** Its answers begin with reasoning, whatever it would rather do. */
const reasoningFirst = chatTemplate.replace("{{- '<|im_start|>assistant\\n' }}\n{%- if enable_thinking", "{{- '<|im_start|>assistant\\n<think>\\n' }}\n{%- if enable_thinking")

/** Path of a copy of the default model whose answers begin with reasoning. */
export async function reasoningModel(): Promise<string> {
  if (reasoningFirst === chatTemplate) throw new Error('the template is not what it was')
  return await withMetadata(process.env['INTRAMUROS_TEST_MODEL'] ?? '', { 'tokenizer.chat_template': reasoningFirst })
}

/** Path of a copy of the default model whose chat template knows reasoning and tools. */
export async function toolModel(): Promise<string> {
  return await withMetadata(process.env['INTRAMUROS_TEST_MODEL'] ?? '', { 'tokenizer.chat_template': chatTemplate })
}
