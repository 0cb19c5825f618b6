import { describe, expect, test } from 'vitest'
import { schemaMatcher } from './testing.ts'

function check(schema: unknown, taken: readonly string[], refused: readonly string[]): void {
  const takes = schemaMatcher(schema)
  for (const text of taken) {
    JSON.parse(text)
    expect(takes(text), text).toBe(true)
  }
  for (const text of refused) expect(takes(text), text).toBe(false)
}

function refusedAt(schema: unknown): string {
  try {
    schemaMatcher(schema)
  } catch (thrown) {
    expect(thrown).toHaveProperty('name', 'SchemaError')
    return (thrown as { pointer: string }).pointer
  }
  throw new Error('it was not refused')
}

describe('objects', () => {
  test('required and optional properties, in their order', () => {
    check(
      { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' }, c: { type: 'null' } }, required: ['b'] },
      ['{"a": 1, "b": "x"}', '{"b":"x"}', '{"b":"","c":null}', '{\n  "a":1,\n  "b":"é"\n}'],
      ['{}', '{"a":1}', '{"b":"x",}', '{,"b":"x"}', '{"b":"x""c":null}', '{"b":"x","a":1}', '{"b":"x","d":1}'],
    )
  })
  test('only optional ones', () => {
    check({ type: 'object', properties: { a: {}, b: {} } }, ['{}', '{"a":1}', '{"b":[]}', '{"a":{},"b":"x"}'], ['{,}', '{"a":1,}', '{"a":1,"a":1}'])
  })
  test('others beside', () => {
    check(
      { type: 'object', properties: { a: { type: 'integer' } }, additionalProperties: { type: 'boolean' } },
      ['{}', '{"a":1}', '{"b":true}', '{"a":1,"ab":true,"":false}', '{"A":true}'],
      ['{"a":true}', '{"b":true,"a":true}', '{"\\u0061":true}', '{"b":1}'],
    )
  })
  test('names that GBNF and JSON would take for something else', () => {
    const names = ['"', '\\', ']', '^', '-a', '[b', '\n', '\u0000', '\u007f', '😀', '__proto__', 'constructor', '#', '', '\ud800']
    for (const name of names) {
      const schema = JSON.parse(`{"type":"object","properties":{${JSON.stringify(name)}:{"type":"null"}},"required":[${JSON.stringify(name)}],"additionalProperties":{"const":1}}`) as unknown
      check(schema, [`{${JSON.stringify(name)}:null}`, `{${JSON.stringify(name)}: null, "z": 1}`], ['{}', '{"z":1}', `{${JSON.stringify(name)}:1}`, `{${JSON.stringify(name)}:null,${JSON.stringify(name)}:1}`])
    }
  })
  test('any object, no object, maps', () => {
    check({ type: 'object' }, ['{}', '{"a":[{"b":null}]}'], ['[]', '{"a"}'])
    check({ type: 'object', properties: {} }, ['{}', '{ }'], ['{"a":1}'])
    check({ type: 'object', additionalProperties: false }, ['{}'], ['{"a":1}'])
    check({ additionalProperties: { type: 'integer' }, minProperties: 1, maxProperties: 2 }, ['{"a":1}', '{"a":1,"b":2}'], ['{}', '{"a":1,"b":2,"c":3}', '{"a":"x"}'])
  })
  test('names of maps', () => {
    const map = { type: 'object', additionalProperties: { type: 'integer' } }
    check({ ...map, propertyNames: { type: 'string' } }, ['{}', '{"a":1}'], ['{1:1}'])
    check({ ...map, propertyNames: { pattern: '^[a-z]$' } }, ['{"a":1,"b":2}'], ['{"ab":1}', '{"":1}', '{"A":1}'])
    check({ ...map, propertyNames: { enum: ['a', 1] } }, ['{"a":1}'], ['{"b":1}', '{1:1}'])
    check({ ...map, propertyNames: false }, ['{}'], ['{"b":1}'])
    check({ ...map, properties: { a: {} }, propertyNames: {} }, ['{"a":null,"b":1}'], ['{"b":null}'])
  })
  test('what is required is there even if nothing else is said of it', () => {
    check({ type: 'object', properties: { a: { const: 1 } }, required: ['b', 'a'] }, ['{"a":1,"b":[]}'], ['{"a":1}', '{"b":1}'])
  })
  test('properties that nothing can fulfil are left out', () => {
    check({ type: 'object', properties: { a: false, b: { type: 'null' } } }, ['{}', '{"b":null}'], ['{"a":1}'])
    expect(refusedAt({ type: 'object', properties: { a: false }, required: ['a'] })).toBe('')
    expect(refusedAt({ properties: { a: {}, b: {} }, required: ['a', 'b'], maxProperties: 1 })).toBe('')
  })
})

describe('arrays', () => {
  test('lengths', () => {
    check({ type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 }, ['[1,2]', '[1, 2, 3]', '[\n  1,\n  2\n]'], ['[]', '[1]', '[1,2,3,4]', '[1,2,]', '["a","b"]'])
    check({ type: 'array', maxItems: 0 }, ['[]'], ['[1]'])
    check({ type: 'array', items: false }, ['[]'], ['[1]'])
  })
  test('items by their place', () => {
    check(
      { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], items: { type: 'null' }, minItems: 1, maxItems: 3 },
      ['[1]', '[1,"a"]', '[1,"a",null]'],
      ['[]', '["a"]', '[1,2]', '[1,"a",null,null]', '[1,null]'],
    )
    check({ prefixItems: [{ const: 1 }], items: false }, ['[]', '[1]'], ['[1,1]', '[2]'])
    check({ prefixItems: [{ const: 1 }, false, { const: 3 }] }, ['[]', '[1]'], ['[1,1]', '[1,1,3]'])
  })
})

describe('values', () => {
  test('enum and const of any kind', () => {
    check({ enum: ['a', 'ab', 'b"', 1, -2.5, null, true, { a: [1, { b: '\n' }] }, []] }, ['"a"', '"ab"', '"b\\""', '1', '-2.5', 'null', 'true', '{"a":[1,{"b":"\\n"}]}', '{"a": [1, {"b": "\\n"}]}', '[]'], ['"b"', '"c"', '2', 'false', '{}'])
    check({ const: { a: 1 } }, ['{"a":1}'], ['{}'])
    check({ type: 'string', enum: ['a', 1, null] }, ['"a"'], ['1', 'null'])
    check({ allOf: [{ enum: [1, 2, 3] }, { enum: [3, 2] }, { type: ['integer', 'null'] }] }, ['2', '3'], ['1', 'null'])
    expect(refusedAt({ type: 'string', enum: [1] })).toBe('')
  })
  test('several types', () => {
    check({ type: ['string', 'null', 'integer'], maxLength: 1 }, ['"a"', 'null', '12'], ['"ab"', '1.5', 'true'])
    check({ type: 'string', nullable: true }, ['null', '""'], ['1'])
    check({}, ['null', '{"a":[1.5e3,"x"]}'], ['nul'])
    check(true, ['[[[]]]'], [''])
    expect(refusedAt(false)).toBe('')
  })
  test('strings are JSON strings', () => {
    check(
      { type: 'string' },
      ['""', '"é😀 \\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\uD83D\\ude00"', '"\u007f"'],
      ['"\n"', '"\u0000"', '"\\x"', '"\\u12"', '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', "'a'"],
    )
    check({ type: 'string', minLength: 2, maxLength: 3 }, ['"ab"', '"😀😀😀"', '"\\n\\u0041\\ud83d\\ude00"'], ['"a"', '"abcd"'])
    expect(schemaMatcher({ type: 'string' })(Buffer.from([0x22, 0xc3, 0x22]))).toBe(false)
    expect(schemaMatcher({ type: 'string' })(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))).toBe(false)
  })
  test('numbers are JSON numbers', () => {
    check({ type: 'number' }, ['0', '-1', '1.50', '1e5', '-0.5E-10'], ['01', '.5', '1.', '+1', 'NaN', '1e999', '0x1', '1'.repeat(30)])
    check({ type: 'integer' }, ['0', '-12', '999999999999999'], ['1.0', '1e2', '--1', '00'])
  })
  test('white space is bounded', () => {
    check({ type: 'array', items: {} }, ['[ 1, 2 ]', '[\n\t1,\n\t2\n]', '[ ]'], ['[  1]', '[1 ,2]', ' []', '[] ', '[\n\n1]', `[\n${' '.repeat(21)}1]`])
  })
})

describe('combinations', () => {
  test('references, also to itself', () => {
    check(
      { $defs: { node: { type: 'object', properties: { v: { type: 'integer' }, next: { $ref: '#/$defs/node' } }, required: ['v'] } }, $ref: '#/$defs/node' },
      ['{"v":1}', '{"v":1,"next":{"v":2,"next":{"v":3}}}'],
      ['{"v":1,"next":{}}', '{"next":{"v":1}}'],
    )
    check({ anyOf: [{ type: 'object', properties: { a: { $ref: '#' } } }] }, ['{"a":{"a":{}}}'], ['{"a":1}'])
    check({ type: 'array', items: { $ref: '#' } }, ['[]', '[[],[[]]]'], ['[1]'])
    check({ definitions: { 'a/b~c %': { type: 'null' } }, anyOf: [{ $ref: '#/definitions/a~1b~0c%20%25' }, { $ref: '#/anyOf/0', title: 'same' }] }, ['null'], ['1'])
    check({ properties: { a: { type: 'integer' }, b: { $ref: '#/properties/a', description: 'x', minimum: 5 } }, required: ['b'] }, ['{"b":5}'], ['{"b":4}'])
  })
  test('what can not be fulfilled is left out, also where it refers to itself', () => {
    const impossible = { type: 'object', properties: { b: { $ref: '#/$defs/n' }, a: false }, required: ['a'] }
    check({ $defs: { n: impossible }, anyOf: [{ $ref: '#/$defs/n' }, { type: 'null' }] }, ['null'], ['{}', '{"b":{}}', '-'])
    check({ type: 'object', properties: { a: { $ref: '#/$defs/endless' } }, $defs: { endless: { properties: { x: { $ref: '#/$defs/endless' } }, required: ['x'] } } }, ['{}'], ['{"a":{"x":1}}'])
    expect(schemaMatcher({ type: 'array', items: { $ref: '#/$defs/n' }, $defs: { n: impossible } })('[]')).toBe(true)
  })
  test('anyOf, with what stands beside it', () => {
    check(
      { type: 'object', properties: { k: { type: 'string' }, n: { type: 'integer' } }, anyOf: [{ required: ['k'] }, { required: ['n'] }] },
      ['{"k":"a"}', '{"n":1}', '{"k":"a","n":1}'],
      ['{}'],
    )
    check({ type: ['string', 'integer'], anyOf: [{ type: 'integer' }, { type: 'null' }] }, ['1'], ['null', '"a"'])
    check({ anyOf: [{ minLength: 2 }, { type: 'null' }], maxLength: 3, type: ['string', 'null'] }, ['"ab"', 'null'], ['"a"', '"abcd"'])
  })
  test('allOf', () => {
    check(
      { allOf: [{ type: 'object', properties: { a: { type: 'number', minimum: 3 } } }, { properties: { a: { type: 'integer', maximum: 5 }, b: { type: 'null' } }, required: ['a'] }] },
      ['{"a":3}', '{"a":5,"b":null}'],
      ['{"a":2}', '{"a":6}', '{"a":3.5}', '{}'],
    )
    check({ allOf: [{ properties: { a: {} }, required: ['a'] }, { properties: { a: {}, b: {} }, additionalProperties: false }] }, ['{"a":1}', '{"a":1,"b":2}'], ['{"b":2}'])
    expect(refusedAt({ allOf: [{ required: ['z'] }, { type: 'object', additionalProperties: false }] })).toBe('')
  })
  test('oneOf where the branches exclude each other', () => {
    check({ oneOf: [{ type: 'string' }, { type: 'null' }, { enum: [1, 2] }] }, ['"a"', 'null', '2'], ['3'])
    const kind = (name: string) => ({ type: 'object', properties: { kind: { const: name }, [name]: { type: 'integer' } }, required: ['kind'], additionalProperties: false })
    check({ oneOf: [kind('a'), kind('b')] }, ['{"kind":"a","a":1}', '{"kind":"b"}'], ['{"kind":"a","b":1}'])
    check({ $defs: { a: kind('a'), b: kind('b') }, oneOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/b' }], discriminator: { propertyName: 'kind' } }, ['{"kind":"b","b":1}'], ['{"kind":"c"}'])
    check({ oneOf: [{ type: 'object', properties: { x: {} }, required: ['x'], additionalProperties: false }, { type: 'object', properties: { y: {} }, required: ['y'], additionalProperties: false }] }, ['{"x":1}', '{"y":1}'], ['{}'])
    // A string fulfils both.
    expect(refusedAt({ oneOf: [1, 2].map((k) => ({ properties: { k: { const: k } }, required: ['k'] })) })).toBe('/oneOf')
    expect(refusedAt({ oneOf: [{ type: 'integer' }, { type: 'number' }] })).toBe('/oneOf')
    expect(refusedAt({ properties: { a: { oneOf: [{ required: ['x'] }, { required: ['y'] }] } } })).toBe('/properties/a/oneOf')
  })
})

describe('patterns and formats', () => {
  test.each<[object, string[], string[]]>([
    [{ pattern: '^[a-z]+$' }, ['a', 'abc'], ['', 'A', 'a1']],
    [{ pattern: 'b' }, ['b', 'abc', '"b\\'], ['', 'a']],
    [{ pattern: '^a|b$' }, ['a', 'ax', 'b', 'xb'], ['xa', 'bx']],
    [{ pattern: '^(?:a|(?<name>b){2})?$' }, ['', 'a', 'bb'], ['b']],
    [{ pattern: '^\\d{2,3}?-\\w*\\s\\S[^\\w"]\\x41\\u0042\\u{1F600}\\.$' }, ['12-a_ x!AB😀.'], ['12-a_ x"AB😀.']],
    [{ pattern: '^"\\\\[\\n\\t]/$' }, ['"\\\n/', '"\\\t/'], ['"\\n/']],
    [{ pattern: '^[\\]\\-^]+$' }, [']-^'], ['a']],
    [{ pattern: '^.$' }, ['a', '😀', '"', '\t'], ['\n', '\u2028', 'ab']],
    [{ pattern: '^[a-z][a-z0-9]*$', minLength: 2, maxLength: 4 }, ['ab', 'a123'], ['a', 'a1234', '1a']],
    [{ pattern: '^x', maxLength: 2 }, ['x', 'xy'], ['xyz', 'yx']],
    [{ pattern: '^(?:ab)*$', minLength: 3, maxLength: 7 }, ['abab', 'ababab'], ['ab', 'abababab']],
    [{ pattern: '^a*b*$', minLength: 1, maxLength: 3 }, ['a', 'aab', 'bbb'], ['', 'aaab', 'ba']],
    [{ allOf: [{ pattern: 'a' }, { pattern: 'b' }, { pattern: '^[^c]*$' }] }, ['ab', 'bxa', '"b\\a'], ['a', 'abc']],
    [{ pattern: '^(?!\\.)(?=.*x)(?!.*\\.\\.)[x.]+$|^(?!ab?$)a.*$' }, ['x', 'x.x.', 'ac', 'abc'], ['.x', 'x..x', '.', 'a', 'ab', 'b']],
    [{ format: 'email', pattern: '^(?!\\.)[a-z.]+@(?:[a-z]+\\.)+[a-z]{2,}$' }, ['a.b@c.de'], ['.a@c.de', 'A@c.de', 'a@c.d', 'a..b@c.de']],
    [{ format: 'date-time', pattern: 'Z$', minLength: 20, maxLength: 20 }, ['2024-01-01T00:00:00Z'], ['2024-01-01T00:00:00.0Z', '2024-01-01T00:00:00+00:00']],
    [{ format: 'date' }, ['2024-02-29', '2000-02-29', '2023-12-31'], ['2023-02-29', '1900-02-29', '2023-13-01', '2023-04-31']],
    [{ format: 'date-time' }, ['2024-02-29T23:59:59.123Z', '2023-01-01T00:00:00+02:00'], ['2023-01-01', '2023-01-01T24:00:00Z', '2023-01-01T00:00:00']],
    [{ format: 'uuid' }, ['123e4567-e89b-12d3-a456-426614174000'], ['123e4567e89b12d3a456426614174000']],
    [{ format: 'ipv4' }, ['0.0.0.0', '255.10.1.99'], ['256.1.1.1', '01.1.1.1', '1.1.1']],
    [{ format: 'ipv6' }, ['::', 'fe80::1', '1:2:3:4:5:6:7:8', '1::8'], ['1:2:3', ':::', '1::2::3', '1:2:3:4:5:6:7:8:9']],
    [{ format: 'email' }, ['a@b.de', 'first.last+tag@sub.example.org'], ['a', '@b.de', 'a@b', 'a..b@c.de']],
  ])('%j', (schema, taken, refused) => {
    const takes = schemaMatcher({ type: 'string', ...schema })
    for (const text of taken) expect(takes(JSON.stringify(text)), text).toBe(true)
    for (const text of refused) expect(takes(JSON.stringify(text)), text).toBe(false)
  })
})

describe('what can not be honoured is refused with its place', () => {
  const deep = (levels: number) => Array.from({ length: levels }).reduce<unknown>((inner) => ({ items: inner }), {})
  test.each<[string, unknown]>([
    ['/not', { not: {} }],
    ['/properties/a~1b~0c/patternProperties', { properties: { 'a/b~c': { patternProperties: {} } } }],
    ['/items/if', { items: { if: true } }],
    ['/uniqueItems', { uniqueItems: true }],
    ['/contains', { contains: {} }],
    ['/tpye', { tpye: 'string' }],
    ['/type', { type: 'text' }],
    ['/type/1', { type: ['string', 'int'] }],
    ['/properties', { properties: [] }],
    ['/properties/a', { properties: { a: 'string' } }],
    ['/required/0', { required: [1] }],
    ['/required', { required: 'a' }],
    ['/enum', { enum: [] }],
    ['/anyOf', { anyOf: [] }],
    ['/anyOf/1', { anyOf: [{}, null] }],
    ['/items', { items: [{}] }],
    ['/minLength', { type: 'string', minLength: -1 }],
    ['/maxItems', { type: 'array', maxItems: 1e9 }],
    ['/propertyNames', { properties: { ab: {} }, propertyNames: { maxLength: 1 } }],
    ['/propertyNames', { properties: { a: {} }, additionalProperties: true, propertyNames: { minLength: 1 } }],
    ['/minProperties', { properties: { a: {}, b: {} }, minProperties: 1 }],
    ['/maxProperties', { properties: { a: {}, b: {} }, maxProperties: 1 }],
    ['/format', { type: 'string', format: 'regex' }],
    ['/format', { type: 'integer', format: 'date' }],
    ['/pattern', { type: 'string', pattern: '(?=a)' }],
    ['/pattern', { type: 'string', pattern: '(a)\\1' }],
    ['/pattern', { type: 'string', pattern: 'a^b' }],
    ['/pattern', { type: 'string', pattern: '[' }],
    ['/pattern', { type: 'string', pattern: '(' }],
    ['/pattern', { type: 'string', pattern: '\\bword' }],
    ['/pattern', { type: 'string', pattern: 'a{2,1}' }],
    ['/pattern', { type: 'string', pattern: '^(?:a|bc){1,5000}$', maxLength: 5000 }],
    ['/pattern', { type: 'string', pattern: 'a(?!b)' }],
    ['/pattern', { type: 'string', pattern: '^(?<!a)b' }],
    ['/pattern', { type: 'string', pattern: '^[^\\s\\S]$' }],
    ['/pattern', { type: 'string', pattern: '(?:[ab]*a[ab]{20})$', minLength: 22 }],
    ['/pattern', { type: 'string', pattern: '('.repeat(3000) }],
    ['', { type: 'string', pattern: 'a', format: 'date' }],
    ['/maxLength', { enum: ['a'], maxLength: 5 }],
    ['/$ref', { $ref: '#/$defs/missing' }],
    ['/$ref', { $ref: 'https://example.org/schema' }],
    ['/$ref', { $ref: '#/__proto__' }],
    ['', { $ref: '#' }],
    ['', { anyOf: [{ $ref: '#' }, { type: 'null' }] }],
    ['/$defs/a', { $defs: { a: { $ref: '#/$defs/b' }, b: { allOf: [{ $ref: '#/$defs/a' }] } }, $ref: '#/$defs/a' }],
    ['', { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }],
    ['', { type: 'string', minLength: 3, maxLength: 2 }],
    ['', 'string'],
    ['', null],
    ['/items'.repeat(129), deep(60_000)],
    ['', { type: 'object', properties: Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`p${index}`, {}])) }],
    ['/enum', { enum: Array.from({ length: 1001 }, (_, index) => index) }],
    ['/description', { description: 'x'.repeat(1_000_000) }],
    ['/enum', { enum: Array.from({ length: 100_000 }, () => 1) }],
  ])('%s', (pointer, schema) => {
    const begin = performance.now()
    expect(refusedAt(schema)).toBe(pointer)
    expect(performance.now() - begin).toBeLessThan(3000)
  })
  test('alternatives of alternatives do not multiply without end', () => {
    const alternatives = (name: string) => ({ anyOf: Array.from({ length: 10 }, (_, index) => ({ properties: { [name]: { const: index } } })) })
    expect(refusedAt({ type: 'object', allOf: ['a', 'b', 'c', 'd', 'e', 'f'].map(alternatives) })).toContain('/allOf/')
  })
})
