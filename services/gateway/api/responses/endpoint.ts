import type { Endpoint } from '../../endpoint.ts'
import { parseResponsesRequest, ResponsesBody } from './request.ts'

export const responsesEndpoint: Endpoint = { name: 'POST /v1/responses', kind: 'chat', schema: ResponsesBody, parse: parseResponsesRequest }
