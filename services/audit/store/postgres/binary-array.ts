/** PostgreSQL's binary form of a bytea[] of one dimension: half the bytes of the text form, and nothing to escape. */
export function byteaArray(items: readonly Uint8Array[]): Buffer {
  const header = items.length === 0 ? 12 : 20
  const out = Buffer.alloc(items.reduce((sum, item) => sum + 4 + item.length, header))
  let at = out.writeInt32BE(items.length === 0 ? 0 : 1)
  at = out.writeInt32BE(0, at)
  at = out.writeInt32BE(byteaOid, at)
  if (items.length === 0) return out
  at = out.writeInt32BE(items.length, at)
  at = out.writeInt32BE(1, at)
  for (const item of items) {
    at = out.writeInt32BE(item.length, at)
    out.set(item, at)
    at += item.length
  }
  return out
}

const byteaOid = 17
