import type { Endpoint } from '../../endpoint.ts'
import { MessagesBody, parseMessagesRequest } from './request.ts'

export const messagesEndpoint: Endpoint = { name: 'POST /v1/messages', kind: 'chat', schema: MessagesBody, parse: parseMessagesRequest }
