import { describe, expect, test } from 'vitest'
import { type ChatTemplate, compileTemplate, formatTime } from './template.ts'

const texts = { bosText: '<s>', eosText: '</s>' }

const chatml = `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are helpful.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`

const llama3 = [
  "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role']",
  " + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}",
  '{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}',
  "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
].join('')

const mistral = [
  "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}",
  "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}",
  "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}",
  "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}",
  "{% else %}{{ raise_exception('Only user and assistant roles are supported, not ' + message['role'] + '!') }}{% endif %}",
  '{% endfor %}',
].join('')

const gemma = `{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}{%- set role = 'model' -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{'<start_of_turn>model\\n'}}{%- endif -%}`

interface TemplateMessage {
  role: string
  content: string
}

function user(content: string): TemplateMessage {
  return { role: 'user', content }
}

function render(source: string, ...messages: TemplateMessage[]): string {
  return renderWith(compileTemplate({ source, ...texts }), messages)
}

function renderWith(template: ChatTemplate, messages: TemplateMessage[]): string {
  const length = messages.reduce((sum, { content }) => sum + content.length, 0)
  return template.render({ messages, add_generation_prompt: true }, length)
}

describe('compileTemplate', () => {
  test('ChatML', () => {
    expect(render(chatml, user(' hi '))).toBe(
      '<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n hi <|im_end|>\n<|im_start|>assistant\n',
    )
    expect(render(chatml, { role: 'system', content: 'Be brief.' }, user('hi'))).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n',
    )
  })

  test('Llama 3', () => {
    expect(render(llama3, user(' hi\n'), { role: 'assistant', content: 'yes' }, user('so'))).toBe(
      '<s><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>' +
        '<|start_header_id|>assistant<|end_header_id|>\n\nyes<|eot_id|>' +
        '<|start_header_id|>user<|end_header_id|>\n\nso<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    )
  })

  test('Mistral', () => {
    const messages = [user('a'), { role: 'assistant', content: 'b' }, user('c')]
    expect(render(mistral, ...messages)).toBe('<s>[INST] a [/INST]b</s>[INST] c [/INST]')
  })

  test('Gemma', () => {
    expect(render(gemma, user(' a '), { role: 'assistant', content: 'b' }, user('c'))).toBe(
      '<s><start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n' +
        '<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n',
    )
  })

  test("a refusal is the client's error, in the template's own words", () => {
    expect(() => render(gemma, { role: 'system', content: 'x' }, user('a'))).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        reason: 'template_rejected',
        param: 'messages',
        message: "The model's chat template refuses these messages: System role not supported",
      }),
    )
    expect(() => render(mistral, user('a'), user('b'))).toThrow('Conversation roles must alternate')
  })

  test('a refusal that is made from the messages is not passed on', () => {
    const source = "{{ raise_exception('No answer to ' + messages[0]['content']) }}"
    expect(() => render(source, user('canary'))).toThrow(
      expect.objectContaining({ reason: 'template_rejected', message: "The model's chat template refuses these messages." }),
    )
  })

  test('what breaks in a template is told without its text', () => {
    const content = "{{ messages[0]['content']"
    for (const source of [`${content} | no_such_filter }}`, `${content}.nothing() }}`, `${content} + none.x.y }}`]) {
      expect(() => render(source, user('canary'))).toThrow(
        expect.objectContaining({
          code: 'INVALID_ARGUMENT',
          reason: 'template_failed',
          message: "The model's chat template fails on this conversation: it has something that the template does not expect.",
        }),
      )
    }
  })

  test('a text out of all proportion is refused', () => {
    const source = "{% for i in range(100000) %}{{ messages[0]['content'] }}{% endfor %}"
    expect(() => render(source, user('canary'))).toThrow(expect.objectContaining({ reason: 'template_failed' }))
    expect(render("{% for i in range(3) %}{{ messages[0]['content'] }}{% endfor %}", user('a'))).toBe('aaa')
  })

  test('a rendering that takes too long is given up', () => {
    const source = '{% for i in range(3000) %}{% for j in range(3000) %}{% endfor %}{% endfor %}'
    const template = compileTemplate({ source, ...texts, limitMs: 5 })
    expect(() => renderWith(template, [user('canary')])).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', reason: 'template_failed', message: expect.stringContaining('takes too long') as string }))
  })

  test('keeps nothing from one conversation to the next', () => {
    const source = "{{ seen }}{% set seen = messages[0]['content'] %}{% set ns = namespace(x=1) %}{{ ns.x }}"
    const template = compileTemplate({ source, ...texts })
    expect(renderWith(template, [user('canary')])).not.toContain('canary')
    expect(renderWith(template, [user('b')])).not.toContain('canary')
  })

  test("the white space at the template's start is its own", () => {
    expect(render('\nhi\n')).toBe('\nhi')
    expect(render('  {% if true %}\n  x{% endif %}')).toBe('  x')
    expect(render('  {%- if true %}x{% endif %}')).toBe('x')
    expect(render('  x')).toBe('  x')
  })

  test('a date, in English', () => {
    expect(render("{{ strftime_now('%d %b %Y') }}")).toBe(formatTime(new Date(), '%d %b %Y'))
    const time = new Date(2026, 2, 7, 9, 5, 3)
    expect(formatTime(time, '%A, %d %B %Y %H:%M:%S')).toBe('Saturday, 07 March 2026 09:05:03')
    expect(formatTime(time, '%a %b %m 100%% %j')).toBe('Sat Mar 03 100% %j')
  })

  test("a template that can't be parsed", () => {
    expect(() => compileTemplate({ source: '{% if %}', ...texts })).toThrow(SyntaxError)
  })
})
