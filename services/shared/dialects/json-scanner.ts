/**
 * Follows the text of one JSON value piece by piece. It takes only what keeps the text the beginning of a JSON value (RFC 8259),
 * so whatever it has taken can be passed on at once.
 */
export interface JsonScanner {
  /** 'done' when the value is complete, 'bad' at a character that can't stand there. */
  readonly state: 'open' | 'done' | 'bad'
  /** Reads `text` in [from, to); returns the place of the first character that it didn't take. */
  scan(text: string, from: number, to: number): number
}

/** A value nested deeper is refused. */
export const maxJsonDepth = 128

/** What may come next: takes a character or not, and sets the step that comes after. */
type Step = (char: string) => boolean

export function createJsonScanner(): JsonScanner {
  let state: JsonScanner['state'] = 'open'
  let step: Step = (char) => value(char)
  /** For each open object or array, whether it is an object. */
  const open: boolean[] = []
  let stringIsKey = false
  let hexLeft = 0
  /** What must still come of true, false or null. */
  let word = ''

  const go = (next: Step): boolean => {
    step = next
    return true
  }

  const value: Step = (char) => {
    if (isSpace(char)) return true
    if (char === '{' || char === '[') return enter(char === '{')
    if (char === '"') return beginString(false)
    if (char === '-') return go(minus)
    if (char === '0') return go(afterZero)
    if (isDigit(char)) return go(integer)
    word = char === 't' ? 'rue' : char === 'f' ? 'alse' : char === 'n' ? 'ull' : ''
    return word !== '' && go(literal)
  }

  const enter = (isObject: boolean): boolean => {
    if (open.length >= maxJsonDepth) return false
    open.push(isObject)
    return go(isObject ? firstKey : firstItem)
  }

  const leave = (isObject: boolean): boolean => {
    if (open.at(-1) !== isObject) return false
    open.pop()
    return endValue()
  }

  const endValue = (): boolean => {
    if (open.length === 0) state = 'done'
    return go(afterValue)
  }

  const afterValue: Step = (char) => {
    if (char === '}' || char === ']') return leave(char === '}')
    return isSpace(char) || (char === ',' && go(open.at(-1) === true ? key : value))
  }

  const firstItem: Step = (char) => {
    if (isSpace(char)) return true
    return char === ']' ? leave(false) : value(char)
  }

  const firstKey: Step = (char) => (char === '}' ? leave(true) : key(char))
  const key: Step = (char) => isSpace(char) || (char === '"' && beginString(true))
  const colon: Step = (char) => isSpace(char) || (char === ':' && go(value))

  const beginString = (isKey: boolean): boolean => {
    stringIsKey = isKey
    return go(string)
  }

  const string: Step = (char) => {
    if (char === '"') return stringIsKey ? go(colon) : endValue()
    return char === '\\' ? go(escape) : char >= ' '
  }

  const escape: Step = (char) => {
    hexLeft = 4
    return '"\\/bfnrtu'.includes(char) && go(char === 'u' ? hex : string)
  }

  const hex: Step = (char) => {
    hexLeft--
    return /^[0-9a-fA-F]$/.test(char) && (hexLeft > 0 || go(string))
  }

  const literal: Step = (char) => {
    const right = word.startsWith(char)
    word = word.slice(1)
    return right && (word !== '' || endValue())
  }

  const minus: Step = (char) => (char === '0' ? go(afterZero) : isDigit(char) && go(integer))
  const integer: Step = (char) => isDigit(char) || afterZero(char)
  const afterZero: Step = (char) => (char === '.' ? go(point) : afterFraction(char))
  const point: Step = (char) => isDigit(char) && go(fraction)
  const fraction: Step = (char) => isDigit(char) || afterFraction(char)
  const afterFraction: Step = (char) => (char === 'e' || char === 'E' ? go(exponent) : endNumber(char))
  const exponent: Step = (char) => (char === '+' || char === '-' ? go(sign) : sign(char))
  const sign: Step = (char) => isDigit(char) && go(power)
  const power: Step = (char) => isDigit(char) || endNumber(char)

  /** Only the character after a number tells its end. */
  const endNumber = (char: string): boolean => {
    endValue()
    return state === 'open' && step(char)
  }

  return {
    get state() {
      return state
    },
    scan(text, from, to) {
      let at = from
      while (state === 'open' && at < to) {
        if (step === string) {
          at = endOfPlain(text, at, to)
          if (at === to) break
        }
        if (step(text.charAt(at))) at++
        else if (state === 'open') state = 'bad'
      }
      return at
    },
  }
}

/** The first place in [from, to) that is not just a character of a string. */
function endOfPlain(text: string, from: number, to: number): number {
  let at = from
  while (at < to) {
    const code = text.charCodeAt(at)
    if (code === 0x22 || code === 0x5c || code < 0x20) break
    at++
  }
  return at
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9'
}

export function isSpace(char: string): boolean {
  return char === ' ' || char === '\n' || char === '\r' || char === '\t'
}
