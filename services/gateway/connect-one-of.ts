import type { LaneClient } from '../shared/rpc/lane-client.ts'

type Connect = (address: string, onStateChange: (up: boolean) => void) => LaneClient

/**
 * A lane to whichever of several addresses answers, where only one does: the audit service that writes the log, as those that stand by do not
 * listen. Keeps to it until it is lost, then tries all of them again. Of two that answer, the first is taken.
 */
export function connectOneOf(given: readonly string[], connect: Connect): LaneClient {
  const addresses = given.length === 0 ? [''] : [...new Set(given)]
  const lanes = new Map<string, LaneClient>()
  let current: string | undefined
  let closed = false

  function open(address: string): void {
    const lane = connect(address, (up) => {
      if (closed || lanes.get(address) !== lane) return
      if (up && current === undefined) keepTo(address)
      else if (!up && current === address) tryAll()
    })
    lanes.set(address, lane)
  }

  function keepTo(address: string): void {
    current = address
    for (const [other, lane] of lanes) {
      if (other === address) continue
      lanes.delete(other)
      lane.close()
    }
  }

  /** That of the lost one connects by itself. */
  function tryAll(): void {
    current = undefined
    for (const address of addresses) if (!lanes.has(address)) open(address)
  }

  function lane(): LaneClient {
    const found = lanes.get(current ?? '') ?? lanes.values().next().value
    if (found === undefined) throw new Error('there is no lane')
    return found
  }

  tryAll()
  return {
    get address() {
      return lane().address
    },
    get up() {
      return current !== undefined && lane().up
    },
    unary: (method, request, options) => lane().unary(method, request, options),
    stream: (method, request, options) => lane().stream(method, request, options),
    close() {
      closed = true
      for (const one of lanes.values()) one.close()
    },
  }
}
