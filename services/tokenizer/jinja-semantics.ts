interface Node {
  readonly type: string
  readonly [field: string]: unknown
}

/** Of Python: an undefined value is an empty text to these filters … */
const textFilters = new Set(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'indent', 'replace', 'join'])
/** … and an empty list to these. */
const listFilters = new Set(['length', 'list', 'map', 'selectattr', 'rejectattr', 'sort', 'unique', 'reverse'])
/** An undefined value passes these tests. */
const iterableTests = new Set(['iterable', 'sequence'])
const strips = new Set(['strip', 'lstrip', 'rstrip'])

/**
 * Rewrites a parsed template where @huggingface/jinja (0.5.11) is stricter than or other than Jinja 2, for which templates are written:
 * an undefined value is nothing to loops and filters there, `string` writes None, True and False, strip() takes the characters
 * to strip, lists can be added to and taken from, and a dictionary's items() and get() are its methods though it has an entry of
 * that name, as the arguments of a tool may have. The template is to be rendered with `jinja2Functions`.
 */
export function toJinja2<T>(program: T): T {
  return rewrite(program) as T
}

function rewrite(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rewrite)
  if (value instanceof Map) return new Map([...value].map(([key, entry]) => [rewrite(key), rewrite(entry)]))
  if (!isNode(value)) return value
  const node: Node = { ...value, ...Object.fromEntries(Object.entries(value).map(([field, entry]) => [field, rewrite(entry)])) }
  switch (node.type) {
    case 'For':
      return { ...node, iterable: orEmpty(node['iterable'], emptyList) }
    case 'FilterExpression':
      return filter(node)
    case 'CallExpression':
      return call(node)
    case 'MemberExpression':
      return member(node)
    case 'TestExpression':
      return iterableTests.has(nameOf(node['test'])) ? { ...node, operand: orEmpty(node['operand'], emptyList) } : node
    default:
      return node
  }
}

function orEmpty(iterable: unknown, empty: Node): unknown {
  if (isNode(iterable) && iterable.type === 'SelectExpression') return { ...iterable, lhs: orEmpty(iterable['lhs'], empty) }
  return { type: 'FilterExpression', operand: iterable, filter: { type: 'CallExpression', callee: identifier('default'), args: [empty] } }
}

function filter(node: Node): Node {
  const applied = node['filter']
  const name = isNode(applied) ? nameOf(applied.type === 'CallExpression' ? applied['callee'] : applied) : ''
  if (name === 'string') return asString(node)
  if (textFilters.has(name)) return { ...node, operand: orEmpty(node['operand'], emptyText) }
  if (listFilters.has(name)) return { ...node, operand: orEmpty(node['operand'], emptyList) }
  return node
}

function asString(node: Node): Node {
  const operand = node['operand']
  const cases: [test: string, text: string][] = [['none', 'None'], ['true', 'True'], ['false', 'False']]
  return cases.reduce<Node>(
    (otherwise, [test, text]) => ({
      type: 'Ternary',
      condition: { type: 'TestExpression', operand, negate: false, test: identifier(test) },
      trueExpr: literal(text),
      falseExpr: otherwise,
    }),
    { ...node, operand: orEmpty(operand, emptyText) },
  )
}

/** An entry by an undefined key is undefined. */
function member(node: Node): Node {
  const property = node['property']
  const named = isNode(property) && (property.type === 'Identifier' || property.type === 'MemberExpression')
  return node['computed'] === true && named ? { ...node, property: orEmpty(property, emptyText) } : node
}

function call(node: Node): Node {
  const { callee, args } = node as { callee?: unknown; args?: unknown }
  if (!isNode(callee) || callee.type !== 'MemberExpression' || callee['computed'] === true || !Array.isArray(args)) return node
  const name = nameOf(callee['property'])
  return method(name, callee['object'], args) ?? node
}

/** What stands for a method's call; undefined where the library's own will do. */
function method(name: string, object: unknown, args: readonly unknown[]): Node | undefined {
  const [first, second] = args
  if (name === 'items' && args.length === 0) return { type: 'FilterExpression', operand: object, filter: identifier('items') }
  if (name === 'get' && (args.length === 1 || args.length === 2)) {
    return {
      type: 'Ternary',
      condition: { type: 'BinaryExpression', operator: { value: 'in' }, left: first, right: object },
      trueExpr: { type: 'MemberExpression', object, property: first, computed: true },
      falseExpr: second ?? identifier('none'),
    }
  }
  // What goes into a list, or says where, goes through a list: a function is given what is inside of a value, and a list's entries are whole.
  if (name === 'append' && args.length === 1) return called('append_entry', object, list(first))
  if (name === 'pop' && args.length <= 1) return called('pop_entry', object, ...args)
  if (strips.has(name) && args.length === 1) return called('strip_characters', object, first, literal(name))
  return undefined
}

/** What the rewritten templates call. */
export const jinja2Functions = {
  strip_characters: stripCharacters,
  append_entry(entries: unknown, added: unknown) {
    if (!Array.isArray(entries) || !Array.isArray(added)) throw new TypeError('append() is a method of lists')
    entries.push(...added)
    return null
  },
  /** Only entries that are texts, numbers and such: of others the library can make no value. */
  pop_entry(entries: unknown, at: unknown = -1): unknown {
    if (!Array.isArray(entries) || typeof at !== 'number') throw new TypeError('pop() is a method of lists')
    const entry: unknown = (entries as unknown[]).splice(at, 1)[0]
    const value: unknown = typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'value') : undefined
    if (value === undefined || typeof value === 'object') throw new TypeError('pop() of no text')
    return value
  },
}

function called(name: string, ...args: readonly unknown[]): Node {
  return { type: 'CallExpression', callee: identifier(name), args }
}

function list(...value: readonly unknown[]): Node {
  return { type: 'ArrayLiteral', value }
}

function stripCharacters(text: unknown, characters: unknown, method: unknown): string {
  const units = Array.from(String(text))
  const set = new Set(String(characters))
  let from = 0
  let to = units.length
  if (method !== 'rstrip') while (from < to && set.has(units[from] ?? '')) from++
  if (method !== 'lstrip') while (to > from && set.has(units[to - 1] ?? '')) to--
  return units.slice(from, to).join('')
}

const emptyList: Node = { type: 'ArrayLiteral', value: [] }
const emptyText = literal('')

function literal(value: string): Node {
  return { type: 'StringLiteral', value }
}
function identifier(value: string): Node {
  return { type: 'Identifier', value }
}
function nameOf(node: unknown): string {
  return isNode(node) && node.type === 'Identifier' && typeof node['value'] === 'string' ? node['value'] : ''
}
function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}
