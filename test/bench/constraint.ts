/**
 * What the constraint of structured output costs a worker for each token, with a real vocabulary and a schema of 20 fields:
 * whether the token that the model wants may come, and which ones may not when it may not.
 *
 *   node test/bench/constraint.ts
 */
import { cpus } from 'node:os'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
import { type CompiledGrammar, compileGrammar } from '../../services/inference-worker/constraint/compiled-grammar.ts'
import { createConstraint } from '../../services/inference-worker/constraint/constraint.ts'
import { createTokenTrie } from '../../services/inference-worker/constraint/token-trie.ts'
import { readTokenTable } from '../../services/inference-worker/engines/llama-vocabulary.ts'
import { createTokenTexts } from '../../services/shared/vocabulary/token-texts.ts'
import { createGrammarBuilder } from '../../services/shared/grammar/builder.ts'
import fetchTestModel from '../support/fetch-model.ts'

const words = ['alpha', 'a "quoted" word', 'line\nbreak', 'naïve café', '日本語 😀', 'The quick brown fox jumps over the lazy dog.']
const schema = {
  type: 'object',
  properties: Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`field_${index}`, fieldSchema(index)])),
  required: Array.from({ length: 14 }, (_, index) => `field_${index}`),
}

function fieldSchema(index: number): unknown {
  const kinds = [
    { type: 'string' },
    { type: 'integer', minimum: 0, maximum: 5000 },
    { type: 'string', maxLength: 200 },
    { enum: ['red', 'green', 'blue', 'ultraviolet'] },
    { type: 'array', items: { type: 'string' }, maxItems: 8 },
    { type: 'object', properties: { x: { type: 'number' }, y: { type: 'boolean' } }, required: ['x'] },
    { type: 'string', pattern: '^[A-Z]{2}-[0-9]{4,8}$' },
  ]
  return kinds[index % kinds.length]
}

function fieldValue(index: number): unknown {
  const word = words[index % words.length] ?? ''
  const values = [word, 1234, `${word} ${word}`, 'ultraviolet', [word, 'x'], { x: -1.5, y: true }, 'AB-12345']
  return values[index % values.length]
}

await fetchTestModel()
const path = process.env['INTRAMUROS_TEST_MODEL'] ?? ''
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: LlamaLogLevel.error })
const model = await llama.loadModel({ modelPath: path, vocabOnly: true })
const table = readTokenTable(model, path)
const ends = new Set([...table.tokens.keys()].filter((token) => model.isEogToken(token as never)))
// A set, as a call of llama.cpp for each token would be measured too.
const isEnd = (token: number) => ends.has(token)

const times = new Map<string, number>()
const trie = timed('build the trie', () => createTokenTrie(createTokenTexts(table).text, table.tokens.length))
const grammar = timed('schema to grammar', () => {
  const builder = createGrammarBuilder()
  return builder.build(builder.schema(schema, ''))
})
timed('compile the grammar', () => compileGrammar(grammar, [], trie))
const answer = JSON.stringify(Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`field_${index}`, fieldValue(index)])), undefined, 2)
const tokens = model.tokenize(answer, false)

print(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}; vocabulary of ${trie.vocabularySize} tokens (${trie.nodes.count} nodes), answer of ${tokens.length} tokens`)
for (const [title, seconds] of times) print(`${title.padEnd(44)} ${(seconds * 1e3).toFixed(2).padStart(9)} ms`)
print('')
print('µs for a token                                      p50        p99        max')
let fresh = noFigures()
let known = noFigures()
for (let round = 0; round < 6; round++) {
  // The first round runs code that is not compiled yet.
  if (round === 1) {
    fresh = noFigures()
    known = noFigures()
  }
  const compiled = compileGrammar(grammar, [], trie)
  follow(compiled, fresh, false)
  follow(compiled, known, false)
  const other = compileGrammar(grammar, [], trie)
  follow(other, fresh, true)
  follow(other, known, true)
}
row('allows, first answer with a grammar', fresh.allows)
row('allows, later answers', known.allows)
row('accept', known.accept)
row('forbidden, first answer with a grammar', fresh.forbidden)
row('forbidden, later answers', known.forbidden)
await model.dispose()
await llama.dispose()

function timed<T>(title: string, run: () => T): T {
  const begin = performance.now()
  const result = run()
  times.set(title, (performance.now() - begin) / 1e3)
  return result
}

interface Figures {
  readonly allows: number[]
  readonly accept: number[]
  readonly forbidden: number[]
}

function noFigures(): Figures {
  return { allows: [], accept: [], forbidden: [] }
}

/** The whole answer; asks what is forbidden before each token, or only whether the token may come. */
function follow(compiled: CompiledGrammar, figures: Figures, forbidden: boolean): void {
  const constraint = createConstraint({ grammar, after: [], trie, isEnd, compiled })
  for (const token of tokens) {
    if (forbidden) figures.forbidden.push(clock(() => constraint.forbidden()))
    else figures.allows.push(clock(() => constraint.allows(token)))
    if (!constraint.allows(token)) throw new Error('the answer does not fit its schema')
    figures.accept.push(clock(() => constraint.accept(token)))
  }
}

function clock(run: () => unknown): number {
  const begin = performance.now()
  run()
  return (performance.now() - begin) * 1e3
}

function row(title: string, figures: number[]): void {
  const sorted = figures.sort((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(1).padStart(10)
  print(`${title.padEnd(44)} ${at(0.5)} ${at(0.99)} ${at(1)}`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
