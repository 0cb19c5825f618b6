import { expect, test } from 'vitest'
import { anchorProblems } from './audit-anchors.ts'

const originOf = (_path: string, at: readonly (string | number)[]): string => at.join('.')
const found = (anchors: Parameters<typeof anchorProblems>[0]['anchors'], witnesses: { vkey: string }[] = []): string[] => anchorProblems({ anchors, witnesses }, originOf).map(({ path, source }) => `${path} (${source})`)

test('each kind has what it needs, and nothing of another', () => {
  expect(
    found([
      { name: 'a', kind: 'folder', folder: '/worm', everySeconds: 5 },
      { name: 'b', kind: 's3', s3Url: 'https://s3.example', s3Bucket: 'b', s3AccessKeyFile: '/a', s3SecretKeyFile: '/s', caFile: '/ca' },
      { name: 'c', kind: 'syslog', syslogAddress: 'siem:6514' },
    ]),
  ).toEqual([])
  expect(found([{ name: 'a', kind: 'folder' }])).toEqual(['audit.anchors[0].folder (0)'])
  expect(found([{ name: 'a', kind: 's3', s3Bucket: 'b', s3AccessKeyFile: '/a' }])).toEqual(['audit.anchors[0].s3Url (0)', 'audit.anchors[0].s3SecretKeyFile (0)'])
  expect(found([{ name: 'a', kind: 'folder', folder: '/worm', s3Bucket: 'b' }])).toEqual(['audit.anchors[0].s3Bucket (0.s3Bucket)'])
})

test('names are given once', () => {
  const syslog = { name: 'a', kind: 'syslog', syslogAddress: 'siem:6514' }
  expect(found([syslog, { ...syslog, name: 'b' }, syslog])).toEqual(['audit.anchors[2].name (2.name)'])
  expect(found([], [{ vkey: 'w+01234567+AA==' }, { vkey: 'x+01234567+AA==' }, { vkey: 'w+76543210+AB==' }])).toEqual(['audit.witnesses[2].vkey (2.vkey)'])
})
