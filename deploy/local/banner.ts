export interface BannerFacts {
  /** Base address of the HTTPS front, without a path: `https://localhost:8443`. */
  address: string
  caFile: string
  /** Only when it was just made. */
  key: string | undefined
  models: readonly string[]
  /** Addresses of the services' metrics, by name of the process. */
  metrics: readonly { name: string; address: string }[]
  home: string
  configFile: string
  /** What differs from what was asked for, one sentence each. */
  notes: readonly string[]
}

const question = 'Why is the sky blue?'

/** A very small model may not find an end by itself. */
const maxTokens = 64

/** What a person reads when the platform is ready: where it is and how to talk to it, ready to paste. */
export function banner({ address, caFile, key, models, metrics, home, configFile, notes }: BannerFacts): string {
  const model = models[0] ?? ''
  const width = Math.max(...metrics.map(({ name }) => name.length))
  return [
    '',
    `Intramuros is ready: ${address}`,
    ...notes.map((note) => `  note: ${note}`),
    '',
    `  CA certificate  ${caFile}`,
    `  API key         ${key ?? 'shown when it was made; another one: npx intramuros keys create --team default'}`,
    ...(key === undefined ? [] : ['                  (team "default"; shown only now: keep it)']),
    `  Models          ${models.join(', ')}`,
    `  Settings        ${configFile}`,
    `  State folder    ${home}`,
    '',
    ...(key === undefined ? ['With the key in $INTRAMUROS_API_KEY, in a shell:'] : ['In a shell:']),
    '',
    curlCommand(address, caFile, key, model),
    '',
    'In Python (pip install openai):',
    '',
    pythonSnippet(address, caFile, key, model),
    '',
    'Metrics:',
    ...metrics.map(({ name, address: at }) => `  ${name.padEnd(width)}  ${at}/metrics`),
    '',
    'Stop with Ctrl-C.',
    '',
  ].join('\n')
}

/** One command line for sh, bash and zsh. */
export function curlCommand(address: string, caFile: string, key: string | undefined, model: string): string {
  const messages = [{ role: 'user', content: question }]
  const body = JSON.stringify({ model, messages, max_tokens: maxTokens, temperature: 0, stream: true })
  const authorization =
    key === undefined ? '"Authorization: Bearer $INTRAMUROS_API_KEY"' : shellQuoted(`Authorization: Bearer ${key}`)
  return [
    `curl --no-buffer --cacert ${shellQuoted(caFile)} ${shellQuoted(`${address}/v1/chat/completions`)}`,
    `-H ${authorization} -H 'Content-Type: application/json'`,
    `-d ${shellQuoted(body)}`,
  ].join(' \\\n  ')
}

/**
 * Works with every version of the library: DefaultHttpxClient is its own name for whichever HTTP library it uses.
 * Lines for a script or the prompt of python3, which wants an empty line after each block: so there is none.
 */
export function pythonSnippet(address: string, caFile: string, key: string | undefined, model: string): string {
  const secret = key === undefined ? 'os.environ["INTRAMUROS_API_KEY"]' : pythonString(key)
  return `${key === undefined ? 'import os, ssl' : 'import ssl'}
import openai

client = openai.OpenAI(
    base_url=${pythonString(`${address}/v1`)},
    api_key=${secret},
    http_client=openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=${pythonString(caFile)})),
)
answer = client.chat.completions.create(
    model=${pythonString(model)},
    messages=[{"role": "user", "content": "${question}"}],
    max_tokens=${maxTokens},
    temperature=0,
)
print(answer.choices[0].message.content)`
}

/** A word for a POSIX shell: as it is where no shell reads anything into it, in single quotes otherwise. */
export function shellQuoted(word: string): string {
  return /^[\w@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** A Python string literal: JSON's escapes mean the same there. */
function pythonString(text: string): string {
  return JSON.stringify(text)
}
