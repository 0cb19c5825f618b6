import { literal, type Rules } from './rules.ts'

interface Branch {
  /** A name ends here. */
  ends: boolean
  readonly branches: Map<string, Branch>
}

/**
 * JSON strings that are none of the names. They have no escapes, so that none of the names can come in disguise, and
 * names that need escapes can't come at all.
 */
export function otherNameBody(rules: Rules, names: readonly string[], hint: string): string {
  const root: Branch = { ends: false, branches: new Map() }
  for (const name of names) {
    let branch = root
    for (const character of name.toWellFormed()) {
      const known: Branch = branch.branches.get(character) ?? { ends: false, branches: new Map() }
      branch.branches.set(character, known)
      branch = known
    }
    branch.ends = true
  }

  const plain = rules.json('plain-character')
  const described: { readonly name: string; readonly branch: Branch }[] = [{ name: rules.reserve(`${hint}-not`), branch: root }]
  const [first] = described
  for (const { name, branch } of described) {
    const options: string[] = []
    for (const [character, following] of branch.branches) {
      if (!isPlain(character)) continue
      const next = rules.reserve(`${hint}-not`)
      described.push({ name: next, branch: following })
      options.push(`${literal(character)} ${next}`)
    }
    const branching = [...branch.branches.keys()].filter(isPlain)
    options.push(branching.length === 0 ? `${plain} ${plain}*` : `[^"\\\\\\x00-\\x1f${branching.map(inClass).join('')}] ${plain}*`)
    if (!branch.ends) options.push('""')
    rules.define(name, options.join(' | '))
  }
  return `"\\"" ${first?.name ?? ''} "\\""`
}

function isPlain(character: string): boolean {
  return character >= ' ' && character !== '"' && character !== '\\'
}

function inClass(character: string): string {
  return character === '-' || character === ']' || character === '[' ? `\\${character}` : character === '^' ? '\\x5e' : character
}
