import { Template } from '@huggingface/jinja'
import { ServiceError } from '../shared/errors.ts'
import { jinja2Functions, toJinja2 } from './jinja-semantics.ts'

export interface ChatTemplate {
  /**
   * The prompt, up to where the assistant's answer begins. `length` is that of what the client wrote, see valueLength().
   * Throws INVALID_ARGUMENT template_rejected when the template refuses the conversation, template_failed when it breaks on it or
   * makes too long a text of it or takes too long; neither tells anything of the messages.
   */
  render(variables: Readonly<Record<string, unknown>>, length: number): string
}

export interface TemplateOptions {
  /** Jinja, as Hugging Face's transformers and llama.cpp run it. */
  source: string
  /** Texts of the model's own tokens; empty where it has none. */
  bosText: string
  eosText: string
  /** Longest that a rendering may take. */
  limitMs?: number
}

/** A text this many times longer than the messages and the template together is a template gone wrong. */
const growthLimit = 8

/**
 * Longest that a rendering may hold up everybody else's. Some templates look at all other messages for each of them: Gemma 4's takes a
 * minute over 8,000 messages. Ordinary conversations take a millisecond.
 */
const renderLimitMs = 2000

/**
 * Puts our own functions in the place of those that the library gives each template: its raise_exception can't be told from its
 * own errors, and its strftime_now speaks the machine's language. A newline after a tag leaves no trace, and lets the template
 * begin on a line of its own.
 */
const prelude = '{% set raise_exception = refuse %}{% set strftime_now = format_now %}\n'

/** Parses the template once. Throws what the parser throws. */
export function compileTemplate({ source, bosText, eosText, limitMs = renderLimitMs }: TemplateOptions): ChatTemplate {
  const template = new Template(prelude + source)
  // The library's types of its parsed templates don't resolve.
  Reflect.set(template, 'parsed', toJinja2<unknown>(Reflect.get(template, 'parsed')))
  const given = {
    refuse: (message: unknown) => {
      throw new Refusal(String(message))
    },
    ...jinja2Functions,
    format_now: (format: unknown) => formatTime(new Date(), String(format)),
    bos_token: bosText,
    eos_token: eosText,
    // As llama-server has it unless told otherwise.
    enable_thinking: true,
  }
  return {
    render(variables, length) {
      let text: string
      try {
        const now = new Date()
        const limit = performance.now() + limitMs
        const check_time = (): null => {
          if (performance.now() > limit) throw new Timeout()
          return null
        }
        // llama-server's names of today; some templates have a fixed date without them.
        text = template.render({ ...given, check_time, date_string: formatTime(now, '%d %b %Y'), datetime: formatTime(now, '%b %d %Y'), ...variables })
      } catch (thrown) {
        if (thrown instanceof Refusal) throw rejection(thrown.message, source)
        throw thrown instanceof Timeout ? tooMuch() : failure(thrown)
      }
      const messages = Array.isArray(variables['messages']) ? variables['messages'].length : 0
      if (text.length > growthLimit * (source.length + length + 1024 * (messages + 1))) throw failure(undefined)
      return text
    },
  }
}

/** What `raise_exception` throws. */
class Refusal extends Error {}

class Timeout extends Error {}

function tooMuch(): ServiceError {
  const text = "The model's chat template takes too long for this conversation. Send fewer messages, or smaller tools."
  return new ServiceError('INVALID_ARGUMENT', 'template_failed', text, { param: 'messages' })
}

function rejection(message: string, source: string): ServiceError {
  // A template may put a message into its exception's text: only what stands in the template as it is can be passed on.
  const reason = message.length <= 300 && source.includes(message) ? `: ${message}` : '.'
  const text = `The model's chat template refuses these messages${reason}`
  return new ServiceError('INVALID_ARGUMENT', 'template_rejected', text, { param: 'messages' })
}

function failure(cause: unknown): ServiceError {
  const text = "The model's chat template fails on this conversation: it has something that the template does not expect."
  return new ServiceError('INVALID_ARGUMENT', 'template_failed', text, { param: 'messages', cause })
}

const months = 'January February March April May June July August September October November December'.split(' ')
const days = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** The part of C's strftime that chat templates use, in local time and always in English. */
export function formatTime(time: Date, format: string): string {
  const month = months[time.getMonth()] ?? ''
  const day = days[time.getDay()] ?? ''
  return format.replace(/%[a-zA-Z%]/g, (directive) => {
    switch (directive) {
      case '%Y':
        return String(time.getFullYear())
      case '%m':
        return two(time.getMonth() + 1)
      case '%d':
        return two(time.getDate())
      case '%B':
        return month
      case '%b':
        return month.slice(0, 3)
      case '%A':
        return day
      case '%a':
        return day.slice(0, 3)
      case '%H':
        return two(time.getHours())
      case '%M':
        return two(time.getMinutes())
      case '%S':
        return two(time.getSeconds())
      case '%%':
        return '%'
      default:
        return directive
    }
  })
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}
