import { describe, expect, test } from 'vitest'
import { chooseWheel, normalisedProject, parseListing } from './simple-api.ts'

const base = new URL('https://index.internal/simple/a-model/')
const sha256 = 'ab'.repeat(32)

describe('a project page', () => {
  test('in JSON', () => {
    const body = JSON.stringify({
      files: [
        { filename: 'a.whl', url: '../../files/a.whl', hashes: { sha256: sha256.toUpperCase() }, size: 5, yanked: false },
        { filename: 'b.whl', url: 'https://other/b.whl', hashes: {} },
        { filename: 'c.whl', url: 'https://' },
      ],
    })
    expect(parseListing(body, 'application/vnd.pypi.simple.v1+json', base)).toEqual([
      { name: 'a.whl', url: new URL('https://index.internal/files/a.whl'), sha256, size: 5 },
      { name: 'b.whl', url: new URL('https://other/b.whl'), sha256: undefined, size: undefined },
    ])
  })

  test('in JSON that is none', () => {
    expect(parseListing('{', 'application/json', base)).toBeUndefined()
    expect(parseListing('{"files": [{}]}', 'application/vnd.pypi.simple.v1+json; charset=utf-8', base)).toBeUndefined()
  })

  test('in HTML', () => {
    const body = `<!DOCTYPE html><!-- <a href="no.whl">no</a> -->
      <a href="../../files/a-1%2Bcpu.whl#sha256=${sha256}" data-requires-python="&gt;=3.9">a</a><br/>
      <A data-x href='b.whl?x=1&amp;y=2'>b</A> <a class=x href=c.whl>c</a> <a name="d">d</a>`
    expect(parseListing(body, 'text/html', base)).toEqual([
      { name: 'a-1+cpu.whl', url: new URL('https://index.internal/files/a-1%2Bcpu.whl'), sha256, size: undefined },
      { name: 'b.whl', url: new URL('https://index.internal/simple/a-model/b.whl?x=1&y=2'), sha256: undefined, size: undefined },
      { name: 'c.whl', url: new URL('https://index.internal/simple/a-model/c.whl'), sha256: undefined, size: undefined },
    ])
    expect(parseListing('<base href="/x/"><a href="c.whl">c</a>', 'text/html', base)?.[0]?.url.pathname).toBe('/x/c.whl')
  })
})

test('the wheel of the project and version is chosen, for any platform first', () => {
  const names = [
    'a_model-1.0.tar.gz',
    'a_model-1.0-cp311-cp311-linux_x86_64.whl',
    'a_model-1.0-1-py3-none-any.whl',
    'a_model-1.0.1-py3-none-any.whl',
    'b-1.0-py3-none-any.whl',
    '../a_model-1.0-py3-none-any.whl',
  ]
  const files = names.map((name) => ({ name, url: base, sha256: undefined, size: undefined }))
  expect(chooseWheel(files, 'A.Model', '1.0')?.name).toBe('a_model-1.0-1-py3-none-any.whl')
  expect(chooseWheel(files.slice(0, 2), 'a-model', '1.0')?.name).toBe('a_model-1.0-cp311-cp311-linux_x86_64.whl')
  expect(chooseWheel(files, 'a-model', '2.0')).toBeUndefined()
  expect(normalisedProject('A__b.-C')).toBe('a-b-c')
})
