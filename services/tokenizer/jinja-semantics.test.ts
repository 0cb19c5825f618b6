import { Template } from '@huggingface/jinja'
import { expect, it } from 'vitest'
import { jinja2Functions, toJinja2 } from './jinja-semantics.ts'

function render(source: string, values: Record<string, unknown> = {}): string {
  const template = new Template(source)
  // The library's types do not resolve here.
  Object.assign(template, { parsed: toJinja2<unknown>(Reflect.get(template, 'parsed')) })
  return template.render({ ...values, ...jinja2Functions, check_time: () => null })
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
  ['{% for key, value in {"items": 1, "get": 2}.items() %}{{ key }}{{ value }}{% endfor %}', 'items1get2'],
  ['{{ {"get": 1, "a": none}.get("get", 3) }}{{ {"get": 1}.get("b", 3) }}{{ {"a": none}.get("a", 3) is none }}{{ {"a": 1}.get("b") is none }}', '13truetrue'],
  ['{% set a = [1] %}{% set _ = a.append({"b": [2]}) %}{% set _ = a.append("c") %}{{ a | tojson }}{{ a | length }}', '[1, {"b": [2]}, "c"]3'],
  ['{% set a = ["x", "y", "z"] %}{{ a.pop(0) }}{{ a.pop() }}{{ a | tojson }}', 'xz["y"]'],
  ['{% set ns = namespace(ids=[]) %}{% set _ = ns.ids.append("q") %}{% if ns.ids %}{{ ns.ids.pop(0) }}{% endif %}{{ ns.ids | length }}', 'q0'],
])('%s', (source, expected) => {
  expect(render(source, { given: null })).toBe(expected)
})
