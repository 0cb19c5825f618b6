import { expect, test } from 'vitest'
import { formatQuery, sha256, sigV4Time, signV4 } from './sigv4.ts'

const signatureOf = (authorization: string): string => /Signature=([0-9a-f]{64})$/.exec(authorization)?.[1] ?? authorization

/** From the published test suite of Signature Version 4. */
test('get-vanilla and get-vanilla-query-order-key-case of the test suite', () => {
  const credentials = { accessKey: 'AKIDEXAMPLE', secretKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
  const scope = { region: 'us-east-1', service: 'service', time: '20150830T123600Z' }
  const request = { method: 'GET', path: '/', query: {}, headers: { host: 'example.amazonaws.com', 'x-amz-date': scope.time }, bodySha256: sha256('') }
  expect(signV4(request, credentials, scope)).toBe(
    'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
  )
  expect(signatureOf(signV4({ ...request, query: { Param2: 'value2', Param1: 'value1' } }, credentials, scope))).toBe('b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500')
})

/** From the documentation of S3, "Signature Calculations for the Authorization Header". */
test.each<[string, string, Record<string, string>, Record<string, string>, string, string]>([
  ['GET', '/test.txt', {}, { range: 'bytes=0-9' }, '', 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'],
  ['PUT', '/test%24file.text', {}, { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' }, 'Welcome to Amazon S3.', '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd'],
  ['GET', '/', { lifecycle: '' }, {}, '', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['GET', '/', { prefix: 'J', 'max-keys': '2' }, {}, '', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
])('%s %s of the examples of S3', (method, path, query, headers, body, signature) => {
  const time = '20130524T000000Z'
  const all = { ...headers, host: 'examplebucket.s3.amazonaws.com', 'x-amz-content-sha256': sha256(body), 'x-amz-date': time }
  const credentials = { accessKey: 'AKIAIOSFODNN7EXAMPLE', secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
  expect(signatureOf(signV4({ method, path, query, headers: all, bodySha256: sha256(body) }, credentials, { region: 'us-east-1', service: 's3', time }))).toBe(signature)
})

test('times and queries', () => {
  expect(sigV4Time(Date.UTC(2015, 7, 30, 12, 36, 0, 999))).toBe('20150830T123600Z')
  expect(formatQuery({ b: 'x y/!', a: '' })).toBe('a=&b=x%20y%2F%21')
})
