import { expect, it } from 'vitest'
import { describeEnd } from './describe-end.ts'

it.each([
  [{ status: 65, signal: null, hung: false, explained: false }, 'status 65, a file is damaged or can not be used'],
  [{ status: 3, signal: null, hung: false, explained: false }, 'status 3'],
  [{ status: null, signal: 'SIGSEGV', hung: false, explained: false }, 'signal SIGSEGV, native code crashed'],
  [{ status: null, signal: 'SIGKILL', hung: false, explained: false }, 'signal SIGKILL, by the kernel if memory ran out'],
  [{ status: null, signal: 'SIGKILL', hung: true, explained: false }, 'signal SIGKILL, by the launcher, as it hung'],
  [{ status: null, signal: 'SIGKILL', hung: false, explained: true }, 'signal SIGKILL'],
  [{ status: null, signal: 'SIGTERM', hung: false, explained: false }, 'signal SIGTERM'],
] as const)('%o is %s', (end, text) => {
  expect(describeEnd(end)).toBe(text)
})
