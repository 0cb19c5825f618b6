import { Template } from '@huggingface/jinja'
import { expect, it } from 'vitest'
import { stripCharacters, toJinja2 } from './jinja-semantics.ts'

function render(source: string, values: Record<string, unknown> = {}): string {
  const template = new Template(source)
  // The library's types do not resolve here.
  Object.assign(template, { parsed: toJinja2<unknown>(Reflect.get(template, 'parsed')) })
  return template.render({ ...values, strip_characters: stripCharacters })
}

// What Jinja 2.1 and 3.1 write, and @huggingface/jinja would not.
it.each([
  ['{% for tool in tools %}x{% endfor %}done', 'done'],
  ['{% for tool in tools if tool.a %}x{% endfor %}done', 'done'],
  ['[{{ missing | trim }}{{ missing | upper }}{{ missing | string }}]', '[]'],
  ['{{ missing | length }}{{ missing | list | length }}', '00'],
  ['{{ given | string }} {{ true | string }} {{ false | string }} {{ 1.0 | string }}', 'None True False 1.0'],
  ["{{ '\\n\\n  a\\n'.lstrip('\\n') }}|", '  a\n|'],
  ["{{ 'xxaxx'.strip('x') }}{{ 'xxaxx'.rstrip('x') }}", 'axxa'],
  ["{{ '  a '.strip() }}", 'a'],
  ['{{ missing is iterable }}', 'true'],
  ["{{ {'a': 1}[missing] | default('none') }}", 'none'],
])('%s', (source, expected) => {
  expect(render(source, { given: null })).toBe(expected)
})
