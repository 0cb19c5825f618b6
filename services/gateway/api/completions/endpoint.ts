import type { Endpoint } from '../../endpoint.ts'
import { CompletionBody, parseCompletionRequest } from './request.ts'

export const completionsEndpoint: Endpoint = { name: 'POST /v1/completions', kind: 'text_completion', schema: CompletionBody, parse: parseCompletionRequest }
