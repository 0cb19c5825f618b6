/** For tests: a JSON Schema validator of its own, for what the property tests make; it knows nothing of grammars. */
type Schema = Readonly<Record<string, unknown>> | boolean

const formats: Readonly<Record<string, (text: string) => boolean>> = {
  date: isDate,
  'date-time': (text) => {
    const [date = '', time = ''] = text.split('T')
    return isDate(date) && isTime(time)
  },
  time: isTime,
  uuid: (text) => /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iv.test(text),
  ipv4: (text) => text.split('.').length === 4 && text.split('.').every((octet) => /^(?:0|[1-9]\d{0,2})$/v.test(octet) && Number(octet) < 256),
  ipv6: (text) => URL.canParse(`http://[${text}]/`),
  email: (text) => /^[^@\s]+@[a-z\d](?:[a-z\d.\-]*[a-z\d])?$/iv.test(text) && !text.includes('..'),
  hostname: (text) => text.length <= 253 && text.split('.').every((label) => /^[a-z\d](?:[a-z\d\-]{0,61}[a-z\d])?$/iv.test(label)),
  uri: (text) => URL.canParse(text) || /^(?:urn|mailto):/v.test(text),
  duration: (text) => /^P(?!$)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)$/v.test(text),
  int32: () => true,
}

export function validates(schema: Schema, value: unknown, root: Schema = schema): boolean {
  if (typeof schema === 'boolean') return schema
  return Object.entries(schema).every(([keyword, wanted]) => fulfils(keyword, wanted, value, schema, root))
}

function fulfils(keyword: string, wanted: unknown, value: unknown, schema: Readonly<Record<string, unknown>>, root: Schema): boolean {
  const each = (schemas: unknown) => (schemas as Schema[]).filter((branch) => validates(branch, value, root)).length
  switch (keyword) {
    case '$ref':
      return validates(resolve(String(wanted), root), value, root)
    case 'type':
      return (Array.isArray(wanted) ? wanted : [wanted]).some((type) => isOfType(String(type), value))
    case 'enum':
      return (wanted as unknown[]).some((member) => same(member, value))
    case 'const':
      return same(wanted, value)
    case 'allOf':
      return each(wanted) === (wanted as unknown[]).length
    case 'anyOf':
      return each(wanted) > 0
    case 'oneOf':
      return each(wanted) === 1
  }
  if (typeof value === 'string') return fulfilsString(keyword, wanted, value)
  if (typeof value === 'number') return fulfilsNumber(keyword, Number(wanted), value, wanted)
  if (Array.isArray(value)) return fulfilsArray(keyword, wanted, value, schema, root)
  return typeof value !== 'object' || value === null || fulfilsObject(keyword, wanted, value as Record<string, unknown>, schema, root)
}

function fulfilsString(keyword: string, wanted: unknown, value: string): boolean {
  const length = Array.from(value).length
  if (keyword === 'minLength') return length >= Number(wanted)
  if (keyword === 'maxLength') return length <= Number(wanted)
  if (keyword === 'pattern') return new RegExp(String(wanted), 'u').test(value)
  return keyword !== 'format' || formats[String(wanted)]?.(value) === true
}

function fulfilsNumber(keyword: string, limit: number, value: number, wanted: unknown): boolean {
  if (keyword === 'minimum') return value >= limit
  if (keyword === 'maximum') return value <= limit
  if (keyword === 'exclusiveMinimum') return value > limit
  if (keyword === 'exclusiveMaximum') return value < limit
  if (keyword === 'multipleOf') return value % limit === 0
  return keyword !== 'format' || wanted !== 'int32' || Math.abs(value) <= 2 ** 31
}

function fulfilsArray(keyword: string, wanted: unknown, value: unknown[], schema: Readonly<Record<string, unknown>>, root: Schema): boolean {
  const prefix = (schema['prefixItems'] ?? []) as Schema[]
  if (keyword === 'minItems') return value.length >= Number(wanted)
  if (keyword === 'maxItems') return value.length <= Number(wanted)
  if (keyword === 'prefixItems') return value.slice(0, prefix.length).every((item, index) => validates(prefix[index] ?? true, item, root))
  return keyword !== 'items' || value.slice(prefix.length).every((item) => validates(wanted as Schema, item, root))
}

function fulfilsObject(
  keyword: string,
  wanted: unknown,
  value: Record<string, unknown>,
  schema: Readonly<Record<string, unknown>>,
  root: Schema,
): boolean {
  const declared = (schema['properties'] ?? {}) as Record<string, Schema>
  if (keyword === 'required') return (wanted as string[]).every((name) => Object.hasOwn(value, name))
  if (keyword === 'minProperties') return Object.keys(value).length >= Number(wanted)
  if (keyword === 'maxProperties') return Object.keys(value).length <= Number(wanted)
  if (keyword === 'properties') {
    return Object.entries(declared).every(([name, member]) => !Object.hasOwn(value, name) || validates(member, value[name], root))
  }
  if (keyword !== 'additionalProperties') return true
  return Object.entries(value).every(([name, member]) => Object.hasOwn(declared, name) || validates(wanted as Schema, member, root))
}

function isOfType(type: string, value: unknown): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === type
}

function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const names = Object.keys(a)
  if (Array.isArray(a) !== Array.isArray(b) || names.length !== Object.keys(b).length) return false
  return names.every((name) => Object.hasOwn(b, name) && same((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]))
}

function resolve(reference: string, root: Schema): Schema {
  let found: unknown = root
  for (const name of reference.split('/').slice(1)) found = (found as Record<string, unknown>)[name.replaceAll('~1', '/').replaceAll('~0', '~')]
  return found as Schema
}

function isDate(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/v.test(text)) return false
  const [year = 0, month = 0, day = 0] = text.split('-').map(Number)
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day
}

function isTime(text: string): boolean {
  const [, hour, minute, second] = /^(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|[+\-](?:[01]\d|2[0-3]):[0-5]\d)$/v.exec(text) ?? []
  return Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60
}
