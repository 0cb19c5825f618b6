/** A conversation in the words of OpenAI's API, as far as templates look at it. */
export interface Conversation {
  name: string
  messages: readonly Message[]
  tools?: readonly Tool[]
  kwargs?: Readonly<Record<string, unknown>>
}

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  content: string
  reasoning_content?: string
  tool_calls?: readonly { id: string; type: 'function'; function: { name: string; arguments: string } }[]
  tool_call_id?: string
}

export interface Tool {
  type: 'function'
  function: { name: string; description: string; parameters: Readonly<Record<string, unknown>> }
}

const weather: Tool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Tells the weather of a city.',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', description: 'Name of the city, "Köln" for example' },
        unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
      },
      required: ['city'],
    },
  },
}

const search: Tool = {
  type: 'function',
  function: {
    name: 'search',
    description: 'Finds documents <b>by</b> meaning & date.',
    parameters: {
      type: 'object',
      properties: {
        query: { type: 'string', minLength: 1 },
        limit: { type: 'integer', minimum: 1, maximum: 100, default: 10 },
        since: { type: 'object', properties: { year: { type: 'number' }, days: { type: 'array', items: { type: 'integer' } } } },
        exact: { type: 'boolean', default: false },
        tag: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      },
      required: ['query', 'limit'],
      additionalProperties: false,
    },
  },
}

/** Nine letters and digits: Mistral's templates take no other id. */
const firstId = 'call00001'
const secondId = 'call00002'

function user(content: string): Message {
  return { role: 'user', content }
}
function assistant(content: string, reasoning?: string): Message {
  return { role: 'assistant', content, ...(reasoning === undefined ? {} : { reasoning_content: reasoning }) }
}
function calling(content: string, ...calls: [id: string, name: string, args: unknown][]): Message {
  const toolCalls = calls.map(([id, name, args]) => ({ id, type: 'function' as const, function: { name, arguments: JSON.stringify(args) } }))
  return { role: 'assistant', content, tool_calls: toolCalls }
}
function result(id: string, content: string): Message {
  return { role: 'tool', tool_call_id: id, content }
}
const system: Message = { role: 'system', content: 'You are a terse assistant.' }
const question = user('What is the weather in Köln?')

export const conversations: readonly Conversation[] = [
  { name: 'one turn', messages: [user('What is the capital of France?')] },
  { name: 'a system message', messages: [system, user('1 + 1?')] },
  { name: 'a developer message', messages: [{ role: 'developer', content: 'Be brief.' }, user('1 + 1?')] },
  { name: 'several turns', messages: [system, user('Hi.'), assistant('Hello! How are you?'), user('Well.'), assistant('Good.'), user('Bye.')] },
  { name: 'characters of all kinds', messages: [user('漢字 😀👩‍👩‍👧 naïve e\u0301 ﷽ \u00a0\u200b "quotes" \\ back\\slash {{ jinja }} {% if %} <b>&amp;</b>')] },
  { name: 'white space around', messages: [{ role: 'system', content: '  Be brief. \n' }, user('\n\n 1 + 1?\t \r\n'), assistant('  2\n'), user(' and 2 + 2? ')] },
  { name: 'an empty message', messages: [user('')] },
  { name: 'an empty answer', messages: [user('Say nothing.'), assistant(''), user('Good.')] },
  { name: 'reasoning before', messages: [user('1 + 1?'), assistant('2', 'One and one are two.'), user('2 + 2?')] },
  { name: 'reasoning written into an answer', messages: [user('1 + 1?'), assistant('<think>\nOne and one.\n</think>\n\n2'), user('2 + 2?')] },
  { name: 'reasoning off', messages: [user('1 + 1?')], kwargs: { enable_thinking: false } },
  { name: 'tools', messages: [question], tools: [weather, search] },
  { name: 'tools and a system message', messages: [system, question], tools: [weather] },
  {
    name: 'a call and its result',
    messages: [question, calling('', [firstId, 'get_weather', { city: 'Köln', unit: 'celsius' }]), result(firstId, '{"temperature": 21.5, "sky": "clear"}')],
    tools: [weather, search],
  },
  {
    name: 'a call, its result, an answer and a question',
    messages: [
      system,
      question,
      calling('', [firstId, 'get_weather', { city: 'Köln' }]),
      result(firstId, 'sunny'),
      assistant('It is sunny.'),
      user('And in Bonn?'),
    ],
    tools: [weather],
  },
  {
    name: 'two calls at once',
    messages: [
      question,
      calling('', [firstId, 'get_weather', { city: 'Köln' }], [secondId, 'search', { query: 'a "b" <c> é', limit: 3, since: { year: 2.5, days: [1, 2] }, exact: true, tag: null }]),
      result(firstId, 'sunny'),
      result(secondId, '[]'),
    ],
    tools: [weather, search],
  },
  {
    name: 'words before a call',
    messages: [question, calling('Let me look.', [firstId, 'get_weather', { city: 'Köln' }]), result(firstId, 'sunny')],
    tools: [weather],
  },
  {
    name: 'reasoning before a call',
    messages: [
      question,
      { ...calling('', [firstId, 'get_weather', { city: 'Köln' }]), reasoning_content: 'The user wants to know the weather.' },
      result(firstId, 'sunny'),
    ],
    tools: [weather],
  },
  { name: 'a message longer than we tokenise at once', messages: [user('The quick brown fox, aged 12, jumps over the lazy dog; "naïve" readers don\'t mind.\n\nNext: 漢字。 '.repeat(200))] },
]
