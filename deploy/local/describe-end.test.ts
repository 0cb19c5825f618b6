import { expect, it } from 'vitest'
import { describeEnd } from './describe-end.ts'

it.each([
  [{ status: 65, signal: null, hung: false }, 'status 65, a file is damaged or can not be used'],
  [{ status: 3, signal: null, hung: false }, 'status 3'],
  [{ status: null, signal: 'SIGSEGV', hung: false }, 'signal SIGSEGV, native code crashed'],
  [{ status: null, signal: 'SIGKILL', hung: false }, 'signal SIGKILL, by the kernel if memory ran out'],
  [{ status: null, signal: 'SIGKILL', hung: true }, 'signal SIGKILL, by the launcher, as it hung'],
  [{ status: null, signal: 'SIGTERM', hung: false }, 'signal SIGTERM'],
] as const)('%o is %s', (end, text) => {
  expect(describeEnd(end)).toBe(text)
})
