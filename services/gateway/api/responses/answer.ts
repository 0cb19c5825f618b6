import type { TokenLogprob } from '../../../../proto/gen/intramuros/v1/inference.ts'
import type { Answer, ChoiceEnd, TokensUsed } from '../../generation.ts'
import type { Exchange } from '../../http/exchange.ts'
import { chatLogprobs } from '../chat/logprobs.ts'
import { openAiErrors } from '../errors.ts'
import { add, begins, contentPart, type Item, itemObject, newItem, toldWith } from './items.ts'
import type { ResponsesRequestBody } from './request.ts'

/** Writes a response, https://platform.openai.com/docs/api-reference/responses/object, and …/responses-streaming. */
export function responsesAnswer(exchange: Exchange, body: ResponsesRequestBody): Answer {
  const head = responseHead(exchange, body)
  return body.stream === true ? streamedAnswer(exchange, head) : wholeAnswer(exchange, head)
}

function wholeAnswer(exchange: Exchange, head: object): Answer {
  const items: Item[] = []
  let end: ChoiceEnd | undefined
  return {
    start: () => undefined,
    parts(_choice, parts, logprobs) {
      for (const [index, part] of parts.entries()) {
        if (begins(part, items.at(-1))) items.push(newItem(part))
        add(items.at(-1), part, toldWith(parts, index, logprobs))
      }
      return undefined
    },
    endChoice(_choice, given) {
      end = given
      return undefined
    },
    finish: (used) => exchange.json(200, JSON.stringify(ended(head, items, end, used))),
  }
}

function streamedAnswer(exchange: Exchange, head: object): Answer {
  const items: Item[] = []
  let open: Item | undefined
  let end: ChoiceEnd | undefined
  let sequence = 0

  function event(type: string, data: object): string {
    const text = `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence, ...data })}\n\n`
    sequence += 1
    return text
  }

  const place = (item: Item): object => ({ item_id: item.id, output_index: items.indexOf(item) })

  function begin(item: Item): string {
    items.push(item)
    open = item
    const added = event('response.output_item.added', { output_index: items.length - 1, item: itemObject(item, 'in_progress') })
    return item.type === 'function_call' ? added : added + event('response.content_part.added', { ...place(item), content_index: 0, part: contentPart(item) })
  }

  function close(status: 'completed' | 'incomplete'): string {
    const item = open
    open = undefined
    if (item === undefined) return ''
    return done(item) + event('response.output_item.done', { output_index: items.indexOf(item), item: itemObject(item, status) })
  }

  function done(item: Item): string {
    const at = { ...place(item), content_index: 0 }
    switch (item.type) {
      case 'reasoning':
        return event('response.reasoning_text.done', { ...at, text: item.text }) + event('response.content_part.done', { ...at, part: contentPart(item) })
      case 'message':
        return event('response.output_text.done', { ...at, text: item.text, logprobs: item.logprobs }) + event('response.content_part.done', { ...at, part: contentPart(item) })
      case 'function_call':
        return event('response.function_call_arguments.done', { ...place(item), arguments: item.arguments })
    }
  }

  function delta(item: Item, text: string, logprobs: readonly TokenLogprob[]): string {
    const at = place(item)
    switch (item.type) {
      case 'reasoning':
        return event('response.reasoning_text.delta', { ...at, content_index: 0, delta: text })
      case 'message':
        return event('response.output_text.delta', { ...at, content_index: 0, delta: text, logprobs: chatLogprobs(logprobs) })
      case 'function_call':
        return event('response.function_call_arguments.delta', { ...at, delta: text })
    }
  }

  return {
    start() {
      exchange.startEvents()
      // An error in the middle is an event of this stream, with its number.
      exchange.errors = { ...openAiErrors, event: ({ reason, message, param }) => event('error', { code: reason, message, param: param ?? null }) }
      const response = { ...head, status: 'in_progress', completed_at: null, error: null, incomplete_details: null, output: [] }
      exchange.write(event('response.created', { response }) + event('response.in_progress', { response }))?.catch(() => undefined) // whoever waits for the next write is told
    },
    parts(_choice, parts, logprobs) {
      let events = ''
      for (const [index, part] of parts.entries()) {
        if (begins(part, open)) events += close('completed') + begin(newItem(part))
        const told = toldWith(parts, index, logprobs)
        if (open === undefined || part.kind === 'tool_call') continue
        add(open, part, told)
        events += delta(open, part.text, told)
      }
      return events === '' ? undefined : exchange.write(events)
    },
    endChoice(_choice, given) {
      end = given
      const events = close(given.finishReason === 'length' ? 'incomplete' : 'completed')
      return events === '' ? undefined : exchange.write(events)
    },
    finish(used) {
      const response = ended(head, items, end, used)
      const last = event(end?.finishReason === 'length' ? 'response.incomplete' : 'response.completed', { response })
      exchange.write(last)?.catch(() => undefined) // a client that left has its record already
      exchange.end()
    },
  }
}

/** What of a response is known from the beginning. */
function responseHead({ requestId }: Exchange, body: ResponsesRequestBody): object {
  return {
    id: `resp_${requestId.replaceAll('-', '')}`,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    model: body.model,
    access_programs: null,
    background: false,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    service_tier: body.service_tier === 'flex' ? 'flex' : 'default',
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map(({ type, name, description, parameters, strict }) => ({ type, name, description: description ?? null, parameters: parameters ?? null, strict: strict ?? null })),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
  }
}

function ended(head: object, items: readonly Item[], end: ChoiceEnd | undefined, { input, cached, output, reasoning }: TokensUsed): object {
  const cut = end?.finishReason === 'length'
  return {
    ...head,
    status: cut ? 'incomplete' : 'completed',
    completed_at: cut ? null : Math.floor(Date.now() / 1000),
    error: null,
    incomplete_details: cut ? { reason: 'max_output_tokens' } : null,
    // Only what was being written at the limit is incomplete.
    output: items.map((item, index) => itemObject(item, cut && index === items.length - 1 ? 'incomplete' : 'completed')),
    usage: {
      input_tokens: input,
      input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
      output_tokens: output,
      output_tokens_details: { reasoning_tokens: reasoning },
      total_tokens: input + output,
    },
  }
}
