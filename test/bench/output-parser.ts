import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { dialects, type Dialect } from '../../services/shared/dialects/dialect.ts'
import type { OutputPart } from '../../services/shared/dialects/output-part.ts'
import { createOutputParser, type OutputParser } from '../../services/shared/dialects/output-parser.ts'
import { renderCalls } from '../../services/shared/dialects/test-support/render-calls.ts'

/**
 * What reading an answer costs in CPU per streamed token: text, reasoning and tool calls of 512 tokens, in each dialect, beside a reader that
 * only joins the pieces. A token is four characters. The aim is less than 5 µs.
 *
 *   node test/bench/output-parser.ts [--quick]
 */
const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const tokens = 512
const rounds = values.quick ? 3 : 9
const answers = values.quick ? 10 : 60
const aim = 5

const prose = 'Well, the "quick" brown fox (a < b) jumps over [1] lazy dogs; see 😀 `code`.\n\nThen it goes on, '
const toolNames = ['get_weather']
const call = { name: 'get_weather', arguments: JSON.stringify({ city: 'Oslo', days: [1, 2, 3], units: { temperature: '°C', long: true } }) }

const joining = measure(tokensOf(prose), () => {
  let all = ''
  return {
    brokenCall: false,
    push(text) {
      all += text
      return [{ kind: 'text', text }]
    },
    end: () => [{ kind: 'text', text: all.slice(0, 0) }],
  }
})
print(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}; µs of CPU per token of 4 characters, median of ${rounds} rounds; only joining the pieces: ${joining.toFixed(3)}`)
print('')
print('  dialect          text  reasoning   calls   broken')
let worst = 0
for (const dialect of dialects) {
  const figures = [
    of(dialect, prose),
    dialect.reasoning === undefined ? undefined : of(dialect, prose, true),
    dialect.tools === undefined ? undefined : of(dialect, calls(dialect)),
    dialect.tools === undefined ? undefined : of(dialect, broken(dialect)),
  ]
  worst = Math.max(worst, ...figures.filter((figure) => figure !== undefined))
  const cells = figures.map((figure) => (figure === undefined ? '-' : figure.toFixed(2)).padStart(8))
  print(`  ${dialect.name.padEnd(14)}${cells.join(' ')}`)
}
print('')
print(`worst ${worst.toFixed(2)} µs, aim ${aim} µs: ${worst < aim ? 'met' : 'not met'}`)

/** As many calls as fill an answer, or one long one where a dialect has only one. */
function calls(dialect: Dialect): string {
  const one = renderCalls(dialect, [call])
  if (dialect.tools?.separator !== undefined || dialect.harmony) return renderCalls(dialect, Array.from({ length: Math.ceil((4 * tokens) / one.length) }, () => call))
  return renderCalls(dialect, [{ ...call, arguments: JSON.stringify({ text: prose.repeat(25) }) }])
}

/** Beginnings of calls that are none, which are held back and then text. */
function broken(dialect: Dialect): string {
  return `.${renderCalls(dialect, [{ name: 'unknown', arguments: '{}' }])}`
}

function of(dialect: Dialect, text: string, reasoningOpen = false): number {
  return measure(tokensOf(text), () => createOutputParser(dialect, { toolNames, reasoningOpen }))
}

function tokensOf(text: string): string[] {
  const long = text.repeat(Math.ceil((4 * tokens) / text.length))
  return Array.from({ length: tokens }, (_, i) => long.slice(4 * i, 4 * i + 4))
}

function measure(pieces: readonly string[], create: () => OutputParser): number {
  let parts = 0
  const times = Array.from({ length: rounds + 2 }, () => {
    const start = process.cpuUsage()
    for (let answer = 0; answer < answers; answer++) {
      const parser = create()
      const count = (of: readonly OutputPart[]): void => void (parts += of.length)
      for (const piece of pieces) count(parser.push(piece))
      count(parser.end())
    }
    const { user, system } = process.cpuUsage(start)
    return (user + system) / (answers * pieces.length)
  })
  if (parts === 0) throw new Error('nothing was read')
  // The first rounds run code that is not compiled yet.
  return times.slice(2).sort((a, b) => a - b)[rounds >> 1] ?? Number.NaN
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
