import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createEventReader } from './server-sent-events.ts'

const stream = ': ping\n\ndata: {"a":1}\n\nevent: x\r\nid: 7\r\ndata:{"b":\r\ndata: "漢"}\r\n\r\n\n\ndata: [DONE]\n\ndata: cut'
const events = ['{"a":1}', '{"b":\n"漢"}', '[DONE]']

test('the same events come, wherever the bytes are split', () => {
  const bytes = Buffer.from(stream)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 20 }), (cuts) => {
      const reader = createEventReader(1000)
      const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
      expect(places.slice(1).flatMap((end, index) => reader.push(bytes.subarray(places[index], end)))).toEqual(events)
    }),
  )
})

test('an event is bounded, in a line or in many', () => {
  expect(() => createEventReader(100).push(Buffer.alloc(101, 'x'))).toThrow(expect.objectContaining({ reason: 'too_large' }))
  const reader = createEventReader(100)
  expect(() => reader.push(Buffer.from('data: 0123456789\n'.repeat(20)))).toThrow(expect.objectContaining({ reason: 'too_large' }))
  const endless = createEventReader(100)
  for (let count = 0; count < 100; count += 1) expect(endless.push(Buffer.from('data: 0123456789\n\n'))).toEqual(['0123456789'])
})
