import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { banner, curlCommand, pythonSnippet, shellQuoted } from './banner.ts'

const facts = {
  address: 'https://localhost:8443',
  caFile: "/home/an o'hara/ca.crt",
  key: 'sk-im-abc' as string | undefined,
  models: ['smollm2-135m-instruct'],
  metrics: [
    { name: 'audit', address: 'http://127.0.0.1:9461' },
    { name: 'inference-worker', address: 'http://127.0.0.1:9463' },
  ],
  home: '/home/x',
  configFile: '/home/x/intramuros.yaml',
  notes: ['Port 8443 was taken.'],
}

it('shows a new key, and how to make another one later', () => {
  expect(banner(facts)).toContain('API key         sk-im-abc')
  const later = banner({ ...facts, key: undefined })
  expect(later).toContain('npx intramuros keys create --team default')
  expect(later).toContain('$INTRAMUROS_API_KEY')
  expect(later).toContain('os.environ["INTRAMUROS_API_KEY"]')
})

it('tells what differs from what was asked for', () => {
  expect(banner(facts)).toContain('note: Port 8443 was taken.')
})

it('quotes any word for the shell', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }).filter((word) => !word.includes('\0')), (word) => {
      expect(execFileSync('sh', ['-c', `printf %s ${shellQuoted(word)}`]).toString()).toBe(word)
    }),
    { numRuns: 50 },
  )
})

it('makes a curl line that a shell reads as meant', () => {
  const command = curlCommand(facts.address, facts.caFile, undefined, 'a model').replace(/^curl/, `printf '%s\\n'`)
  const words = execFileSync('sh', ['-c', command], { env: { ...process.env, INTRAMUROS_API_KEY: 'sk-im-of-env' } }).toString()
  expect(words).toContain(`--cacert\n${facts.caFile}\n${facts.address}/v1/chat/completions\n-H\nAuthorization: Bearer sk-im-of-env\n`)
  const body: unknown = JSON.parse(words.trim().split('\n').at(-1) ?? '')
  expect(body).toMatchObject({ model: 'a model', stream: true })
})

it('makes Python without blocks, so that the prompt of python3 takes it too', () => {
  for (const key of ['sk-im-abc', undefined]) {
    for (const line of pythonSnippet(facts.address, facts.caFile, key, 'a model').split('\n')) expect(line).not.toMatch(/:$/)
  }
})
