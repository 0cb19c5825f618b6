import { expect, test } from 'vitest'
import { parseNetrc } from './netrc.ts'

test('logins are read in any layout, the first of a host counts', () => {
  const text = `# comment
machine A.example login me password p#ss
machine b.example
  login "quoted user"
  account x
  password "with \\"quotes\\""
machine a.example login other password other
macdef init
  machine evil login evil password evil

default login any password one
`
  expect(Object.fromEntries(parseNetrc(text))).toEqual({
    'a.example': { user: 'me', password: 'p#ss' },
    'b.example': { user: 'quoted user', password: 'with "quotes"' },
    default: { user: 'any', password: 'one' },
  })
})

test('anything else gives no login', () => {
  expect(parseNetrc('').size).toBe(0)
  expect(parseNetrc('login me password x').size).toBe(0)
})
