import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { GrammarError } from './expression.ts'
import { maxGrammarBytes, parseGbnf } from './gbnf.ts'
import { grammarMatcher } from './testing.ts'

const samples = join(import.meta.dirname, 'llama-cpp-samples')

function errorOf(text: string): GrammarError {
  try {
    grammarMatcher(text)
  } catch (thrown) {
    expect(thrown).toHaveProperty('name', 'GrammarError')
    return thrown as GrammarError
  }
  throw new Error('no error')
}

describe('what is written', () => {
  test.each([
    ['root ::= "a\\n\\t\\r\\"\\\\\\[\\]\\-"', 'a\n\t\r"\\[]-'],
    ['root ::= [\\]\\[\\-\\\\"^a]+', ']["-\\^a'],
    ['root ::= [a-]+', 'a-'],
    ['root ::= [-a]+', 'a-'],
    ['root ::= [+--]+', '+,-'],
    ['# comment\n\nroot ::= # another\n  "a" # and one\n# last', 'a'],
    ['root ::= ("a"\n  | "b"\n  # within\n  "c") |\n "d"', 'bc'],
    ['root ::= x-1\r\nx-1 ::= "a"\r', 'a'],
    ['root ::= "a"{ 2 , 3 } "b"', 'aaab'],
    ['root ::= "" | ()', ''],
    ['root ::= "a"\nroot ::= "b"', 'b'],
    ['root ::= "ab"+', 'abab'],
  ])('%j takes %j', (grammar, text) => {
    expect(grammarMatcher(grammar)(text)).toBe(true)
  })
})

describe('what is wrong is told with its place', () => {
  test.each([
    ['root ::= "a', 1, 12, 'syntax'],
    ['root ::= [a', 1, 12, 'syntax'],
    ['root ::= ("a"', 1, 14, 'syntax'],
    ['root ::= "a")', 1, 13, 'syntax'],
    ['root ::= "a"\n  "b"', 2, 3, 'syntax'],
    ['root = "a"', 1, 6, 'syntax'],
    ['root ::= *', 1, 10, 'syntax'],
    ['root ::= "a" | +', 1, 16, 'syntax'],
    ['root ::= "\\q"', 1, 11, 'syntax'],
    ['root ::= "\\x4"', 1, 11, 'syntax'],
    ['root ::= "\\ud800"', 1, 11, 'syntax'],
    ['root ::= "\\U00110000"', 1, 11, 'syntax'],
    ['root ::= [z-a]', 1, 11, 'syntax'],
    ['root ::= []', 1, 10, 'syntax'],
    ['root ::= "a"{x}', 1, 14, 'syntax'],
    ['root ::= "a"{2,1}', 1, 13, 'syntax'],
    ['root ::= "a"{9999999}', 1, 14, 'syntax'],
    ['root ::= <think>', 1, 10, 'syntax'],
    ['root ::= !<[4]>', 1, 10, 'syntax'],
    ['root ::= x_y', 1, 11, 'syntax'],
    ['root ::= a\na ::= missing "x"', 2, 7, 'undefined_rule'],
    ['a ::= "x"', 1, 1, 'undefined_rule'],
    ['', 1, 1, 'undefined_rule'],
    ['root ::= root "a" | "b"', 1, 1, 'left_recursion'],
    ['root ::= "x" a\na ::= n b\n\nb ::= "y" | a "z"\nn ::= "n"?', 4, 1, 'left_recursion'],
    ['root ::= "x" a\na ::= ("b"* a){2,3} | "c"', 2, 1, 'left_recursion'],
    ['root ::= "a" root', 1, 1, 'endless'],
  ])('%j', (grammar, line, column, reason) => {
    const { line: foundLine, column: foundColumn, reason: foundReason } = errorOf(grammar)
    expect([foundLine, foundColumn, foundReason]).toEqual([line, column, reason])
  })
})

describe('what is too much is refused quickly', () => {
  const many = 60_000
  test.each([
    ['nested groups', `root ::= ${'('.repeat(many)}"a"${')'.repeat(many)}`],
    ['open groups', `root ::= ${'('.repeat(many)}`],
    ['repetitions of repetitions', `root ::= "a"${'*'.repeat(many)}`],
    ['a literal of a megabyte', `root ::= "${'a'.repeat(1_000_000)}"`],
    ['a literal that just fits', `root ::= "${'a'.repeat(maxGrammarBytes - 20)}"`],
    ['many classes', `root ::= ${'[^a]'.repeat(many)}`],
    ['many rules', Array.from({ length: 25_000 }, (_, index) => `${index.toString(36)}::=""`).join('\n')],
    ['rules that call each other first', `root ::= a0\n${Array.from({ length: 9000 }, (_, index) => `a${index}::=a${index + 1}`).join('\n')}\na9000::=a0|"x"`],
  ])('%s', (_, grammar) => {
    const begin = performance.now()
    errorOf(grammar)
    expect(performance.now() - begin).toBeLessThan(5000)
  })
  test('a text of nothing but undefined rules', () => {
    expect(errorOf(`root ::= ${Array.from({ length: 15_000 }, (_, index) => `a${index}`).join(' ')}`).reason).toBe('undefined_rule')
  })
})

describe('the samples of llama.cpp', () => {
  const files = readdirSync(samples).filter((name) => name.endsWith('.gbnf'))
  test.each(files)('%s', (name) => {
    const text = readFileSync(join(samples, name), 'utf8')
    expect(parseGbnf(text).rules.length).toBeGreaterThan(0)
    grammarMatcher(text)
  })
  test('json.gbnf takes JSON objects and nothing else', () => {
    const takes = grammarMatcher(readFileSync(join(samples, 'json.gbnf'), 'utf8'))
    for (const value of [{}, { a: [1, -2.5e10, 'x\n"é😀', null, true, { b: {} }] }]) {
      expect(takes(JSON.stringify(value))).toBe(true)
      expect(takes(JSON.stringify(value, undefined, 2))).toBe(true)
    }
    for (const text of ['{', '{"a":}', '{"a":1,}', '{a:1}', '{"a":01}', "{'a':1}"]) expect(takes(text), text).toBe(false)
  })
})
