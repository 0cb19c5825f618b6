/**
 * The rules for JSON itself. White space is where JSON has it, but little of it: a small model would go on with it for
 * ever. Numbers have bounded digits, so that every reader takes them.
 */
import type { JsonRule } from './rules.ts'

export const jsonRules: Readonly<Record<JsonRule, (rule: (name: JsonRule) => string) => string>> = {
  value: (rule) => `${rule('object')} | ${rule('array')} | ${rule('string')} | ${rule('number')} | "true" | "false" | "null"`,
  object: (rule) => {
    const member = `${rule('string')} ${rule('colon')} ${rule('value')}`
    return `"{" ${rule('space')} (${member} (${rule('comma')} ${member})* ${rule('space')})? "}"`
  },
  array: (rule) => `"[" ${rule('space')} (${rule('value')} (${rule('comma')} ${rule('value')})* ${rule('space')})? "]"`,
  string: (rule) => `"\\"" ${rule('character')}* "\\""`,
  character: (rule) => `${rule('plain-character')} | ${rule('escape')}`,
  'plain-character': () => '[^"\\\\\\x00-\\x1f]',
  escape: (rule) => `"\\\\" (["\\\\/bfnrt] | "u" ${rule('code-unit')})`,
  // Surrogates come in pairs only.
  'code-unit': () =>
    '[0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2} | [dD] [89abAB] [0-9a-fA-F]{2} "\\\\u" [dD] [c-fC-F] [0-9a-fA-F]{2}',
  number: () => '"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
  integer: () => '"-"? ("0" | [1-9] [0-9]{0,14})',
  space: () => '(" " | "\\n" [ \\t]{0,20})?',
  comma: (rule) => `"," ${rule('space')}`,
  colon: () => '":" " "?',
}
