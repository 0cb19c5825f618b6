import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createJsonScanner, maxJsonDepth } from './json-scanner.ts'

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The same text in a list, so that the end of a number is told. */
function scan(text: string): { state: string; at: number } {
  const scanner = createJsonScanner()
  const listed = `[${text}]`
  let at = 0
  while (at < listed.length && scanner.state === 'open') at = scanner.scan(listed, at, at + 1)
  return { state: at < listed.length ? 'bad' : scanner.state, at }
}

describe('the JSON scanner', () => {
  it('takes what JSON.parse takes', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(scan(text).state).toBe('done')
        expect(scan(JSON.stringify(JSON.parse(text), undefined, ' \n\t')).state).toBe('done')
      }),
    )
  })

  it('refuses what JSON.parse refuses', () => {
    const text = fc.stringMatching(/^([[\]{}",:\\0-9.eE+\-tfn u]|true|null|\n|"[a-z\\]*"|-?\d+){0,12}$/)
    fc.assert(
      fc.property(text, (text) => {
        expect(scan(text).state === 'done').toBe(isJson(`[${text}]`))
      }),
      { numRuns: 3000 },
    )
  })

  it.each([String.raw`"\u12"`, String.raw`"\u123g"`, String.raw`"\a"`, '01', '-', '1.', '1e', '.5', '+1', 'nul', 'truee', '"\t"'])('refuses %j', (text) => {
    expect(scan(text).state).toBe('bad')
  })

  it('what it takes can be made a whole', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.constantFrom('x', ']', '}', '"', ',', ':', '\n', '0'), (text, place, wrong) => {
        const spoilt = text.slice(0, place % (text.length + 1)) + wrong + text.slice(place % (text.length + 1))
        const { at } = scan(spoilt)
        expect(completions(`[${spoilt}]`.slice(0, at)).some(isJson)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it('does not go deeper than its limit', () => {
    const deep = '['.repeat(maxJsonDepth)
    const scanner = createJsonScanner()
    expect(scanner.scan(`${deep}[`, 0, maxJsonDepth + 1)).toBe(maxJsonDepth)
    expect(scanner.state).toBe('bad')
  })
})

/** Ways to complete the beginning of a JSON value: for what is open, one of them is right. */
function completions(begun: string): string[] {
  let inString = false
  const open: string[] = []
  for (let i = 0; i < begun.length; i++) {
    const char = begun.charAt(i)
    if (inString) {
      if (char === '\\') i++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') open.push(char === '{' ? '}' : ']')
    else if (char === '}' || char === ']') open.pop()
  }
  const close = open.reverse().join('')
  const ends = ['', '0', 'e', 'ue', 'rue', 'l', 'll', 'ull', 'se', 'lse', 'alse', '"', '":0', ':0', '"":0', '0"', 'n"', '00"', '000"', '0000"', 'n":0']
  const more = ['0":0', '00":0', '000":0', '0000":0']
  return [...ends, ...more].map((end) => begun + end + close)
}
