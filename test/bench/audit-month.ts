/** Records of a month of a house of 40 teams and 5,000 keys, some used far more than others. Requests take up to 2,000 others' time. */
export interface Month {
  /** The next record's bytes. */
  next(): Buffer
  /** Requests that began. */
  readonly began: number
  random(): number
  /** From 0 to one below `count`, low ones far more often than high ones. */
  skewed(count: number): number
}

export const monthStart = Date.UTC(2026, 10, 1)

interface Under {
  id: string
  team: string
}

/** So many records in all, the same each time. */
export function createMonth(records: number): Month {
  const spacingMs = (30 * 86_400_000) / records
  const under: Under[] = []
  let seed = 1
  let made = 0
  let began = 0

  function random(): number {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed / 2 ** 32
  }
  const skewed = (count: number): number => Math.floor(count * random() ** 3)

  function begin(at: string): string {
    const team = `team-${skewed(40)}`
    const id = `${hex(began)}-${hex(seed)}-4000-8000-${hex(began * 7)}abcd`
    under.push({ id, team })
    began += 1
    const key = skewed(5000)
    return `{"adapter":"","at":"${at}","auth":"api_key","clock":"ok","endpoint":"POST /v1/chat/completions","gatewayVersion":"0.1.0","instance":"gateway","keyId":"key_${key}","model":"model-${skewed(12)}","modelDigest":"","parameters":{},"priority":"interactive","requestBytes":100,"requestId":"${id}","stream":true,"subject":"person-${key}","team":"${team}","type":"request.begin","v":1}`
  }

  function end(at: string, { id, team }: Under): string {
    const outcome = random() < 0.97 ? 'completed' : random() < 0.999 ? 'cancelled' : 'failed'
    return `{"at":"${at}","cachedTokens":10,"clock":"ok","durationUs":900000,"error":"${outcome === 'failed' ? 'worker_lost' : ''}","finishReason":"stop","firstTokenUs":80000,"inputTokens":120,"outcome":"${outcome}","outputTokens":60,"redactions":[],"requestId":"${id}","responseBytes":300,"team":"${team}","type":"request.end","v":1,"worker":"10.0.0.1:7000","workerUs":700000,"workerVersion":"0.1.0"}`
  }

  return {
    next() {
      const at = new Date(monthStart + made * spacingMs).toISOString()
      made += 1
      const place = under.length > 0 && (under.length >= 1000 || random() < 0.5) ? Math.floor(random() * under.length) : -1
      const ending = place < 0 ? undefined : under[place]
      if (ending === undefined) return Buffer.from(begin(at), 'latin1')
      under[place] = under[under.length - 1] ?? ending
      under.pop()
      return Buffer.from(end(at, ending), 'latin1')
    },
    get began() {
      return began
    },
    random,
    skewed,
  }
}

function hex(number: number): string {
  return (number >>> 0).toString(16).padStart(8, '0')
}
