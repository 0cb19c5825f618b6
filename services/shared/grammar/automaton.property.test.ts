import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GrammarError } from './expression.ts'
import { grammarMatcher } from './testing.ts'

/** A grammar as the test makes it, told apart from how the parser and the automaton see it. */
type Form =
  | { form: 'text'; text: string }
  | { form: 'class'; members: string; negated: boolean }
  | { form: 'any' }
  | { form: 'rule'; rule: number }
  | { form: 'sequence'; items: Form[] }
  | { form: 'choice'; options: Form[] }
  | { form: 'repeat'; body: Form; min: number; max: number }

const letters = ['a', 'b', 'é', '😀']
const { form } = fc.letrec<{ form: Form }>((tie) => ({
  form: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.array(fc.constantFrom(...letters), { maxLength: 2 }).map((text): Form => ({ form: 'text', text: text.join('') })),
    fc.record({ form: fc.constant('class' as const), members: fc.subarray(letters, { minLength: 1 }).map((some) => some.join('')), negated: fc.boolean() }),
    fc.constant<Form>({ form: 'any' }),
    fc.nat(2).map((rule): Form => ({ form: 'rule', rule })),
    fc.array(tie('form'), { maxLength: 3 }).map((items): Form => ({ form: 'sequence', items })),
    fc.array(tie('form'), { minLength: 1, maxLength: 3 }).map((options): Form => ({ form: 'choice', options })),
    fc
      .tuple(tie('form'), fc.nat(3), fc.oneof(fc.nat(3), fc.constant(Number.POSITIVE_INFINITY)))
      .map(([body, min, more]): Form => ({ form: 'repeat', body, min, max: min + more })),
  ),
}))

function write(part: Form): string {
  switch (part.form) {
    case 'text':
      return `"${part.text}"`
    case 'class':
      return `[${part.negated ? '^' : ''}${part.members}]`
    case 'any':
      return '.'
    case 'rule':
      return `r${part.rule}`
    case 'sequence':
      return `(${part.items.map(write).join(' ')})`
    case 'choice':
      return `(${part.options.map(write).join(' | ')})`
    default:
      return `(${write(part.body)})${part.max === Number.POSITIVE_INFINITY ? (part.min === 0 ? '*' : part.min === 1 ? '+' : `{${part.min},}`) : `{${part.min},${part.max}}`}`
  }
}

/** Where a part that begins at each place can end: tried out again and again until nothing new is found. */
function oracle(rules: readonly Form[], text: readonly string[]): boolean {
  const known = new Map<string, Set<number>>()
  let changed = true
  const ruleEnds = (rule: number, at: number): Set<number> => known.get(`${rule} ${at}`) ?? new Set()
  const follow = (places: Set<number>, part: Form): Set<number> => {
    let reached = new Set<number>()
    for (const place of places) reached = reached.union(ends(part, place))
    return reached
  }
  const ends = (part: Form, at: number): Set<number> => {
    const character = text[at]
    switch (part.form) {
      case 'text':
        return new Set(text.slice(at).join('').startsWith(part.text) ? [at + Array.from(part.text).length] : [])
      case 'class':
        return new Set(character !== undefined && part.members.includes(character) !== part.negated ? [at + 1] : [])
      case 'any':
        return new Set(character === undefined ? [] : [at + 1])
      case 'rule':
        return ruleEnds(part.rule, at)
      case 'sequence':
        return part.items.reduce(follow, new Set([at]))
      case 'choice':
        return part.options.map((option) => ends(option, at)).reduce((all, some) => all.union(some))
      default: {
        let places = new Set([at])
        const reached = new Set<number>(part.min === 0 ? places : [])
        const most = Math.min(part.max, part.min + text.length + 1)
        for (let count = 1; count <= most; count++) {
          places = follow(places, part.body)
          if (count >= part.min) for (const place of places) reached.add(place)
        }
        return reached
      }
    }
  }
  while (changed) {
    changed = false
    for (const [rule, body] of rules.entries()) {
      for (let at = 0; at <= text.length; at++) {
        const found = ends(body, at)
        if (found.size > ruleEnds(rule, at).size) changed = true
        known.set(`${rule} ${at}`, found)
      }
    }
  }
  return ruleEnds(0, 0).has(text.length)
}

test('takes the texts that a naive reading takes', () => {
  let compared = 0
  fc.assert(
    fc.property(
      fc.tuple(form, form, form),
      fc.array(fc.array(fc.constantFrom(...letters), { maxLength: 6 }), { minLength: 8, maxLength: 8 }),
      (rules, texts) => {
        let takes
        try {
          takes = grammarMatcher(`root ::= r0\n${rules.map((rule, index) => `r${index} ::= ${write(rule)}\n`).join('')}`)
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(GrammarError)
          expect(['left_recursion', 'endless']).toContain((thrown as GrammarError).reason)
          return
        }
        compared++
        for (const text of texts) expect(takes(text.join('')), text.join('')).toBe(oracle(rules, text))
      },
    ),
    { numRuns: 2000 },
  )
  expect(compared).toBeGreaterThan(500)
})
