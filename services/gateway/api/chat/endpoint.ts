import type { Endpoint } from '../../endpoint.ts'
import { ChatBody, parseChatRequest } from './request.ts'

export const chatEndpoint: Endpoint = { name: 'POST /v1/chat/completions', kind: 'chat', schema: ChatBody, parse: parseChatRequest }
