import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { Answer, ChoiceEnd, Generation } from '../../generation.ts'
import type { Exchange } from '../../http/exchange.ts'
import { streamEnd } from '../chat/chunks.ts'
import { usage } from '../usage.ts'
import { completionLogprobs } from './logprobs.ts'

export interface CompletionShape {
  /** Choices to give, and to generate, for each prompt. */
  wanted: number
  generated: number
  echo: boolean
  /** The client wants log-probabilities. */
  logprobs: boolean
  includeUsage: boolean
}

interface Identity {
  id: string
  object: 'text_completion'
  created: number
  model: string
}

/** Writes a text completion, https://platform.openai.com/docs/api-reference/completions/object. */
export function completionAnswer(exchange: Exchange, { model, stream }: Generation, shape: CompletionShape): Answer {
  const identity: Identity = { id: `cmpl-${exchange.requestId.replaceAll('-', '')}`, object: 'text_completion', created: Math.floor(Date.now() / 1000), model }
  return stream ? streamedAnswer(exchange, identity, shape) : wholeAnswer(exchange, identity, shape)
}

function streamedAnswer(exchange: Exchange, identity: Identity, { generated, echo, logprobs: wantsLogprobs, includeUsage }: CompletionShape): Answer {
  const head = `data: ${JSON.stringify(identity).slice(0, -1)},"choices":[`
  const tail = includeUsage ? '],"usage":null}\n\n' : ']}\n\n'
  let prompts: readonly { text: string }[] = []
  /** Characters that each choice has so far. */
  const offsets: number[] = []

  function chunk(choice: number, text: string, logprobs: readonly TokenLogprob[], reason: string): string {
    const first = offsets[choice] === undefined
    const offset = offsets[choice] ?? 0
    const whole = first && echo ? (prompts[Math.floor(choice / generated)]?.text ?? '') + text : text
    offsets[choice] = offset + whole.length
    const told = wantsLogprobs && logprobs.length > 0 ? JSON.stringify(completionLogprobs(logprobs, offset)) : 'null'
    return `${head}{"index":${choice},"text":${JSON.stringify(whole)},"logprobs":${told},"finish_reason":${reason}}${tail}`
  }

  return {
    start(given) {
      prompts = given
      exchange.startEvents()
    },
    parts: (choice, parts, logprobs) => exchange.write(chunk(choice, textOf(parts), logprobs, 'null')),
    endChoice: (choice, { finishReason }) => exchange.write(chunk(choice, '', [], `"${finishReason}"`)),
    finish(used) {
      const last = includeUsage ? `${head}],"usage":${JSON.stringify(usage(used))}}\n\n` : ''
      exchange.write(last + streamEnd)?.catch(() => undefined) // a client that left has its record already
      exchange.end()
    },
  }
}

interface Choice {
  text: string[]
  logprobs: TokenLogprob[]
  reason: ChoiceEnd['finishReason']
}

function wholeAnswer(exchange: Exchange, identity: Identity, { wanted, generated, echo, logprobs: wantsLogprobs }: CompletionShape): Answer {
  let prompts: readonly { text: string }[] = []
  const choices: Choice[] = []
  const at = (index: number): Choice => (choices[index] ??= { text: [], logprobs: [], reason: 'stop' })
  return {
    start(given) {
      prompts = given
    },
    parts(index, parts, logprobs) {
      const choice = at(index)
      choice.text.push(textOf(parts))
      for (const logprob of logprobs) choice.logprobs.push(logprob)
      return undefined
    },
    endChoice(index, { finishReason }) {
      at(index).reason = finishReason
      return undefined
    },
    finish(used) {
      const given = prompts.flatMap(({ text }, index) => {
        const own = choices.slice(index * generated, (index + 1) * generated)
        return best(own, wanted).map((choice) => ({ ...choice, prompt: echo ? text : '' }))
      })
      const body = {
        ...identity,
        choices: given.map(({ prompt, text, logprobs, reason }, index) => ({
          index,
          text: prompt + text.join(''),
          logprobs: wantsLogprobs ? completionLogprobs(logprobs, prompt.length) : null,
          finish_reason: reason,
        })),
        usage: usage(used),
      }
      exchange.json(200, JSON.stringify(body))
    },
  }
}

/** Those with the highest mean log-probability a token, likeliest first; all of them as they came when none is to be left out. */
function best(choices: readonly Choice[], count: number): readonly Choice[] {
  if (choices.length <= count) return choices
  return choices.toSorted((a, b) => mean(b) - mean(a)).slice(0, count)
}

function mean({ logprobs }: Choice): number {
  if (logprobs.length === 0) return Number.NEGATIVE_INFINITY
  return logprobs.reduce((sum, { token }) => sum + (token?.logprob ?? 0), 0) / logprobs.length
}

function textOf(parts: Parameters<Answer['parts']>[1]): string {
  let text = ''
  for (const part of parts) if (part.kind === 'text') text += part.text
  return text
}
