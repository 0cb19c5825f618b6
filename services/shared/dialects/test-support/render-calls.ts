import type { Dialect } from '../dialect.ts'
import type { Call } from './parse-output.ts'

/** Writes calls as a dialect's models do. */
export function renderCalls(dialect: Dialect, calls: readonly Call[]): string {
  const markup = dialect.tools
  if (markup === undefined) throw new TypeError(`${dialect.name} has no tools`)
  const { form } = markup
  if (dialect.harmony) {
    return calls
      .map((call) => `<|channel|>commentary to=functions.${call.name} <|constrain|>json<|message|>${call.arguments}`)
      .join('<|call|><|start|>assistant')
  }
  const bodies = calls.map((call) => {
    if (form.kind === 'object') return `{"name": ${JSON.stringify(call.name)}, "${form.argumentsKey}": ${call.arguments}}`
    if (form.kind === 'unquoted') return form.prefix + call.name + call.arguments
    return form.prefix + call.name + form.between + call.arguments + form.after
  })
  const inner =
    form.kind === 'object' && form.list
      ? `[${bodies.join(', ')}]`
      : bodies.map((body) => markup.call.begin + body + markup.call.end).join(markup.separator ?? '; ')
  return markup.calls.begin + inner + markup.calls.end
}
