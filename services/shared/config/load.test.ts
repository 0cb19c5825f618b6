import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { builtinModels } from '../models/catalogue.ts'
import { fieldsOf } from './fields.ts'
import { ConfigError, type LoadOptions, loadConfig, stateFolder } from './load.ts'
import { configSchema } from './schema.ts'

let home = ''
beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'intramuros-config-'))))
afterEach(() => rmSync(home, { recursive: true }))

interface Given extends Omit<LoadOptions, 'env'> {
  yaml?: string | Uint8Array
  env?: Record<string, string>
}

function load({ yaml, env = {}, ...options }: Given) {
  if (yaml !== undefined) writeFileSync(join(home, 'intramuros.yaml'), yaml)
  return loadConfig({ env: { INTRAMUROS_HOME: home, ...env }, ...options })
}

function failure(given: Given): ConfigError {
  try {
    load(given)
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown
    throw thrown
  }
  throw new Error('the configuration was accepted')
}

/** The problems, with the folder's name cut from their sources. */
function problems(given: Given) {
  return failure(given).problems.map(({ path, source, found, allowed, suggestion }) => ({
    path,
    source: source.replace(`${home}/`, ''),
    found,
    allowed,
    suggestion,
  }))
}

describe('where settings come from', () => {
  test('without any, all are at their defaults', () => {
    const config = load({})
    expect(config).toMatchObject({
      home,
      file: join(home, 'intramuros.yaml'),
      origins: {},
      serve: [builtinModels[0]?.id],
      drainSeconds: 20,
    })
    expect(config.tls.folder).toBe(join(home, 'tls'))
    expect(config.audit.folder).toBe(join(home, 'audit'))
  })

  test('a variable wins over the file, and an override over both', () => {
    const yaml = 'gateway: { port: 1001, maxQueued: 1, maxConcurrent: 1 }\n'
    const env = { INTRAMUROS_GATEWAY_PORT: '1002', INTRAMUROS_GATEWAY_MAX_QUEUED: '2' }
    const { gateway, origins } = load({ yaml, env, overrides: { 'gateway.port': 1003, 'gateway.host': undefined } })
    expect(gateway).toMatchObject({ port: 1003, maxQueued: 2, maxConcurrent: 1, host: '127.0.0.1' })
    expect(origins).toEqual({
      'gateway.port': 'option gateway.port',
      'gateway.maxQueued': 'INTRAMUROS_GATEWAY_MAX_QUEUED',
      'gateway.maxConcurrent': `${join(home, 'intramuros.yaml')}:1:${yaml.lastIndexOf('1') + 1}`,
    })
  })

  test('every setting but lists of maps has a variable of its own that sets it', () => {
    const fields = fieldsOf(configSchema)
    expect(fields.filter(({ variable }) => variable === undefined).map(({ path }) => path)).toEqual(['models', 'prices.models', 'audit.witnesses', 'audit.anchors'])
    const named = fields.flatMap(({ variable }) => variable ?? [])
    expect(new Set(named).size).toBe(named.length)
    const env = Object.fromEntries(
      fields.flatMap(({ variable, schema }) => (variable === undefined ? [] : [[variable, [schema.default].flat().join(',')]])),
    )
    const { origins: _, ...defaults } = load({})
    const { origins, ...set } = load({ env })
    expect(set).toEqual(defaults)
    // An empty variable counts as unset.
    const textual = fields.filter(({ variable }) => variable !== undefined && env[variable] !== '')
    expect(Object.keys(origins).toSorted()).toEqual(textual.map(({ path }) => path).toSorted())
  })

  test('variables are read by the type of their setting', () => {
    const env = {
      INTRAMUROS_SOURCES_OFFLINE: 'true',
      INTRAMUROS_DRAIN_SECONDS: ' 5 ',
      INTRAMUROS_GATEWAY_INSTANCE: '1234',
      INTRAMUROS_GATEWAY_WORKERS: '127.0.0.1:1, [::1]:2,',
    }
    const config = load({ env })
    expect([config.sources.offline, config.drainSeconds, config.gateway.instance]).toEqual([true, 5, '1234'])
    expect(config.gateway.workers).toEqual(['127.0.0.1:1', '[::1]:2'])
  })

  test('texts of overrides are read as those of variables are', () => {
    expect(load({ overrides: { 'gateway.port': '9000', serve: builtinModels[0]?.id } })).toMatchObject({
      gateway: { port: 9000 },
    })
  })

  test('a variable that names a client key or belongs to the tests is no setting', () => {
    expect(load({ env: { INTRAMUROS_API_KEY: 'x', INTRAMUROS_TEST_MODEL: 'x', INTRAMUROS_MODELS: '' } }).origins).toEqual({})
  })

  test('the result is frozen to its depth', () => {
    const config = load({})
    expect([config, config.gateway, config.serve, config.origins].every((part) => Object.isFrozen(part))).toBe(true)
    // A default that several results shared would let one change the other.
    expect(load({}).serve).not.toBe(config.serve)
  })
})

describe('the state folder and the file', () => {
  test.each([
    [{ INTRAMUROS_HOME: '/a/b', XDG_STATE_HOME: '/x', HOME: '/h' }, '/a/b'],
    [{ INTRAMUROS_HOME: '~/b', HOME: '/h' }, '/h/b'],
    [{ XDG_STATE_HOME: '/x', HOME: '/h' }, '/x/intramuros'],
    [{ XDG_STATE_HOME: 'relative', HOME: '/h' }, '/h/.local/state/intramuros'],
    [{ INTRAMUROS_HOME: '', XDG_STATE_HOME: '', HOME: '/h' }, '/h/.local/state/intramuros'],
    [{}, join(homedir(), '.local/state/intramuros')],
  ])('%j puts it at %s', (env, folder) => {
    expect(stateFolder(env)).toBe(folder)
  })

  test('a named file is read instead of the one in the state folder', () => {
    const other = join(home, 'other.yaml')
    writeFileSync(other, 'drainSeconds: 3')
    expect(load({ yaml: 'drainSeconds: 4', env: { INTRAMUROS_CONFIG: other } })).toMatchObject({ drainSeconds: 3, file: other })
    expect(load({ yaml: 'drainSeconds: 4', file: other, env: { INTRAMUROS_CONFIG: '/nowhere' } })).toMatchObject({
      drainSeconds: 3,
      file: other,
    })
  })

  test('a named file must exist', () => {
    expect(problems({ file: join(home, 'none.yaml') })).toEqual([
      { path: '', source: 'none.yaml', found: 'no such file', allowed: 'a YAML file' },
    ])
  })

  test('a folder in its place, another encoding and a huge file are told', () => {
    mkdirSync(join(home, 'folder.yaml'))
    expect(problems({ file: join(home, 'folder.yaml') })[0]?.found).toContain('EISDIR')
    expect(problems({ yaml: Uint8Array.of(0x61, 0xff) })[0]?.found).toBe('bytes that are not UTF-8')
    expect(problems({ yaml: `#${'x'.repeat(2 ** 20)}` })[0]?.found).toBe('a file of 1048577 bytes')
  })

  test('folders are made absolute', () => {
    const config = load({ yaml: 'tls: { folder: ~/t }\naudit: { folder: /var//a }', env: { HOME: '/h' } })
    expect([config.tls.folder, config.audit.folder]).toEqual(['/h/t', '/var/a'])
  })
})

describe('what is wrong', () => {
  test('is told all at once, file, variables and overrides, with places', () => {
    const yaml = ['gateway:', '  port: "8443"', '  prot: 1', 'log:', '  level: loud', 'audti: {}', 'port: 1'].join('\n')
    const env = { INTRAMUROS_GATEWAY_MAX_QUEUED: '-1', INTRAMUROS_GATEWAY_PROT: 'secret' }
    const told = problems({ yaml, env, overrides: { 'audit.orphanSeconds': 0, 'gateway.prt': 1 } })
    expect(told.map(({ path, source, suggestion }) => [path, source, suggestion])).toEqual([
      ['gateway.port', 'intramuros.yaml:2:9', 'Write it without quotes to make it a number.'],
      ['gateway.prot', 'intramuros.yaml:3:3', 'Did you mean "port"?'],
      ['log.level', 'intramuros.yaml:5:10', undefined],
      ['audti', 'intramuros.yaml:6:1', 'Did you mean "audit"?'],
      ['port', 'intramuros.yaml:7:1', '"port" stands in the section gateway.'],
      ['', 'INTRAMUROS_GATEWAY_PROT', 'Did you mean INTRAMUROS_GATEWAY_PORT?'],
      ['gateway.maxQueued', 'INTRAMUROS_GATEWAY_MAX_QUEUED', undefined],
      ['', 'option gateway.prt', 'Did you mean "gateway.port"?'],
      ['audit.orphanSeconds', 'option audit.orphanSeconds', undefined],
    ])
  })

  test('is one readable message', () => {
    const { message } = failure({ yaml: 'gateway:\n  port: 70000\n', env: { INTRAMUROS_LOG_LEVEL: 'inof' } })
    expect(message.replaceAll(`${home}/`, '')).toBe(
      [
        'The configuration has 2 problems:',
        '  gateway.port  (intramuros.yaml:2:9)',
        '    found the number 70000; allowed: a whole number from 0 to 65535.',
        '  log.level  (INTRAMUROS_LOG_LEVEL)',
        '    found the text "inof"; allowed: trace, debug, info, warn or error.',
        '    Did you mean "info"?',
      ].join('\n'),
    )
  })

  test.each([
    ['sources: { offline: yes }', 'the text "yes"', 'Write true (without quotes).'],
    ['inferenceWorker: { gpu: false }', 'false', 'Did you mean "off"?'],
    ['gateway: { instance: 12 }', 'the number 12', 'Put it in quotes to make it text.'],
    ['gateway: { names: ai.example }', 'the text "ai.example"', 'Write it as a list: [value].'],
    ['gateway: { port: }', 'nothing', 'Write a value, or remove the line to have the default.'],
    ['gateway: { port: 8443.5 }', 'the number 8443.5', undefined],
    ['gateway: { port: .nan }', 'the number NaN', undefined],
    ['gateway: 8443', 'the number 8443', undefined],
    ['gateway: [a]', 'a list of 1 item', undefined],
    ['[]', 'a list of 0 items', undefined],
    ['gateway.port: 1', 'an unknown setting gateway.port', '"port" stands in the section gateway.'],
    [
      'metricsPort: 1',
      'an unknown setting metricsPort',
      '"metricsPort" stands in the section gateway, tokenizer, inferenceWorker or audit.',
    ],
    ['gateway: { drainSeconds: 1 }', 'an unknown setting drainSeconds', '"drainSeconds" stands at the top level.'],
    ['__proto__: { x: 1 }', 'an unknown setting __proto__', undefined],
    ['constructor: 1', 'an unknown setting constructor', undefined],
    ['1: 1', 'an unknown setting 1', undefined],
  ])('%s', (yaml, found, suggestion) => {
    expect(problems({ yaml })).toEqual([expect.objectContaining({ found, suggestion })])
  })

  test('a setting that is wrong in the file is told even where a variable wins over it', () => {
    expect(problems({ yaml: 'gateway: { port: x }', env: { INTRAMUROS_GATEWAY_PORT: '1' } })).toHaveLength(1)
  })

  test('a variable for models says that only the file can hold them', () => {
    expect(problems({ env: { INTRAMUROS_MODELS: '[]' } })[0]).toMatchObject({ path: 'models', source: 'INTRAMUROS_MODELS' })
  })

  test('a list names the item', () => {
    expect(problems({ yaml: 'gateway:\n  workers:\n    - 127.0.0.1:1\n    - localhost\n' })).toEqual([
      expect.objectContaining({ path: 'gateway.workers[1]', source: 'intramuros.yaml:4:7' }),
    ])
  })
})

describe('YAML', () => {
  test.each([
    ['a: [1', /^intramuros\.yaml:1:\d+$/],
    ['gateway:\n\tport: 1', /^intramuros\.yaml:2:\d+$/],
    ['gateway:\n  port: 1\n host: a', /^intramuros\.yaml:3:\d+$/],
    ['gateway: {}\n---\naudit: {}', /^intramuros\.yaml:\d:\d+$/],
    ['log: !custom x', /^intramuros\.yaml:1:6$/],
  ])('%j is a syntax error with line and column', (yaml, source) => {
    const [problem] = problems({ yaml })
    expect(problem?.found).toMatch(/^a syntax error: /)
    expect(problem?.source).toMatch(source)
  })

  test('a key that stands twice is told, and the rest is checked all the same', () => {
    expect(
      problems({ yaml: 'drainSeconds: 1\ndrainSeconds: 2\nlog: { level: x }' }).map(({ source, found }) => [source, found]),
    ).toEqual([
      ['intramuros.yaml:2:1', 'a key that stands there already'],
      ['intramuros.yaml:3:15', 'the text "x"'],
    ])
  })

  test('a syntax error does not hide what is wrong in variables, and causes no false alarm about models', () => {
    const told = problems({ yaml: 'models: [', env: { INTRAMUROS_SERVE: 'own', INTRAMUROS_GATEWAY_PORT: 'x' } })
    expect(told.map(({ path }) => path)).toEqual(['', 'gateway.port'])
  })

  test('an alias without its anchor is told with line and column', () => {
    expect(problems({ yaml: 'audit:\nlog: *nowhere' })).toEqual([
      expect.objectContaining({ source: 'intramuros.yaml:2:6', found: 'an alias without its anchor' }),
    ])
  })

  test('an alias stands for its value, and a bomb of them is refused quickly', () => {
    expect(load({ yaml: 'gateway: { host: &h 127.0.0.2 }\nmetricsHost: *h' }).metricsHost).toBe('127.0.0.2')
    const levels = Array.from(
      { length: 9 },
      (_, level) => `a${level + 1}: &a${level + 1} [${Array(9).fill(`*a${level}`).join(', ')}]`,
    )
    const started = performance.now()
    expect(problems({ yaml: ['a0: &a0 [x]', ...levels].join('\n') }).map(({ found }) => found)).toContain(
      'aliases that expand to too much',
    )
    expect(performance.now() - started).toBeLessThan(2000)
  })

  test('an empty file, one of comments, and a section without lines set nothing', () => {
    for (const yaml of ['', '# nothing\n', 'gateway:\n  # port: 1\naudit:\n', '\uFEFFgateway:\r\n'])
      expect(load({ yaml }).origins).toEqual({})
  })

  test('a key that is a list is refused', () => {
    expect(problems({ yaml: '? [a, b]\n: 1\n' })).toEqual([expect.objectContaining({ source: 'intramuros.yaml:1:3' })])
  })
})

describe('what must not be repeated', () => {
  test('long texts, what an unknown setting holds, passwords in URLs, and what a syntax error stands on', () => {
    const secret = 'correct-horse-battery-staple'
    const long = `${secret}-${secret}`
    const { message } = failure({
      yaml: [
        `log: { level: ${long} }`,
        `password: ${secret}`,
        `sources: { hub: "ftp://me:${secret}@x" }`,
        `telemetry: { endpoint: "x://me:p@x" }`,
      ].join('\n'),
      env: { INTRAMUROS_PASSWORD: secret, OTEL_EXPORTER_OTLP_ENDPOINT: long },
      overrides: { 'no.such': secret },
    })
    expect(message).not.toContain(secret)
    expect(message).not.toContain('me:p')
    expect(message).toContain(`text of ${long.length} characters`)
    for (const yaml of [`a: "x" ${secret}\nb: [${secret}: }`, `log: !${secret} x`, `log: *${secret}`, `? [${secret}]\n: 1`]) {
      expect(failure({ yaml }).message).not.toContain(secret)
    }
  })

  test('controls that move a terminal', () => {
    const { message } = failure({ yaml: 'log: { level: "\\e[2Jx\\u202e\\x9b" }\n"\\e[1m": 1' })
    expect(message).not.toMatch(/[^\P{C}\n]/u)
    expect(message).toContain(String.raw`\u001b[2Jx\u202e\u009b`)
  })
})

describe('settings that do not go together', () => {
  const own =
    'models: [{ id: own, file: own.gguf, licence: MIT, contextLength: 8, from: { path: /x }, ' +
    'openness: { weights: true, code: true, data: true, paper: true } }]'

  test('a model to serve must be in the catalogue', () => {
    expect(problems({ yaml: 'serve: [own]' })).toEqual([
      {
        path: 'serve[0]',
        source: 'intramuros.yaml:1:9',
        found: 'an unknown model own',
        allowed: builtinModels.map(({ id }) => id).join(' or '),
        suggestion: undefined,
      },
    ])
    expect(load({ yaml: `${own}\nserve: [own]` }).models[0]?.from.path).toBe('/x')
    expect(problems({ yaml: own, env: { INTRAMUROS_SERVE: 'smollm2' } })[0]).toMatchObject({
      source: 'INTRAMUROS_SERVE',
      suggestion: `Did you mean "${builtinModels[0]?.id}"?`,
    })
    expect(problems({ env: { INTRAMUROS_INFERENCE_WORKER_MODEL: 'other' } })[0]).toMatchObject({ path: 'inferenceWorker.model' })
  })

  test('a model is served once', () => {
    expect(problems({ yaml: `${own}\nserve: [own, own]` })).toEqual([
      expect.objectContaining({ path: 'serve[1]', source: 'intramuros.yaml:2:14' }),
    ])
  })

  test('the catalogue names what is wrong with its entries', () => {
    const relative = own.replace('/x', 'x')
    expect(problems({ yaml: relative })).toEqual([
      expect.objectContaining({ path: 'models[0].from.path', source: `intramuros.yaml:1:${relative.indexOf('path:') + 7}` }),
    ])
  })

  test('models that are wrong themselves make no serve wrong', () => {
    expect(problems({ yaml: `${own.replace('MIT', '1')}\nserve: [own]` }).map(({ path }) => path)).toEqual(['models[0].licence'])
  })

  test.each([
    ['two metrics ports', { INTRAMUROS_AUDIT_METRICS_PORT: '9464' }, 'audit.metricsPort'],
    ['the one that was set is the one to change', { INTRAMUROS_GATEWAY_METRICS_PORT: '9461' }, 'gateway.metricsPort'],
    ['a port of gRPC', { INTRAMUROS_AUDIT_LISTEN: '[::]:8443' }, 'audit.listen'],
    ['two names of one address', { INTRAMUROS_AUDIT_LISTEN: 'localhost:8443' }, 'audit.listen'],
  ])('ports must differ: %s', (_, env, path) => {
    expect(problems({ env }).map((problem) => problem.path)).toEqual([path])
  })

  test.each([
    ['on different addresses', { INTRAMUROS_GATEWAY_HOST: '127.0.0.2', INTRAMUROS_GATEWAY_PORT: '9461' }, undefined],
    ['any free one', { INTRAMUROS_GATEWAY_METRICS_PORT: '0', INTRAMUROS_AUDIT_METRICS_PORT: '0' }, undefined],
    ['on different machines', { INTRAMUROS_AUDIT_METRICS_PORT: '9464' }, 'audit' as const],
  ])('ports may be the same: %s', (_, env, service) => {
    expect(load({ env, ...(service === undefined ? {} : { service }) })).toBeDefined()
  })

  test('certificates may not outlive their CA', () => {
    expect(problems({ yaml: 'tls: { caLifetimeDays: 2 }' })).toEqual([expect.objectContaining({ path: 'tls.caLifetimeDays' })])
  })
})

describe('where traces go', () => {
  const traces = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'
  const all = 'OTEL_EXPORTER_OTLP_ENDPOINT'
  test.each([
    [{}, ''],
    [{ INTRAMUROS_TELEMETRY_ENDPOINT: 'http://a:4318', [all]: 'http://b' }, 'http://a:4318/v1/traces'],
    [{ INTRAMUROS_TELEMETRY_ENDPOINT: 'http://a:4318/x/' }, 'http://a:4318/x/v1/traces'],
    [{ [traces]: 'http://t/own', [all]: 'http://b' }, 'http://t/own'],
    [{ [all]: 'http://b' }, 'http://b/v1/traces'],
    [{ [all]: 'http://b', OTEL_SDK_DISABLED: 'true' }, ''],
  ])('%j: %s', (env, url) => {
    expect(load({ env }).telemetry.tracesUrl).toBe(url)
  })

  test('an endpoint that is no URL is told by its variable', () => {
    expect(problems({ env: { [all]: 'collector:4318' } })).toEqual([
      expect.objectContaining({ path: 'telemetry.endpoint', source: all }),
    ])
  })
})
