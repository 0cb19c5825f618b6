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

type Expect =
  | 'value'
  | 'value or ]'
  | 'key or }'
  | 'key'
  | ':'
  | ', or end'
  | 'string'
  | 'escape'
  | 'hex'
  | 'word'
  | '-'
  | '0'
  | 'integer'
  | '.'
  | 'fraction'
  | 'e'
  | 'e sign'
  | 'exponent'

export function createJsonScanner(): JsonScanner {
  let state: JsonScanner['state'] = 'open'
  let expect: Expect = 'value'
  /** For each open object or array, whether it is an object. */
  const open: boolean[] = []
  let stringIsKey = false
  let hexLeft = 0
  /** What must still come of true, false or null. */
  let word = ''

  /** A value has ended. */
  const close = (): void => {
    if (open.length === 0) state = 'done'
    expect = ', or end'
  }

  const enter = (isObject: boolean): boolean => {
    if (open.length >= maxJsonDepth) return false
    open.push(isObject)
    expect = isObject ? 'key or }' : 'value or ]'
    return true
  }

  const leave = (isObject: boolean): boolean => {
    if (open.at(-1) !== isObject) return false
    open.pop()
    close()
    return true
  }

  const beginString = (isKey: boolean): boolean => {
    stringIsKey = isKey
    expect = 'string'
    return true
  }

  const beginValue = (char: string): boolean => {
    if (isSpace(char)) return true
    switch (char) {
      case '{':
        return enter(true)
      case '[':
        return enter(false)
      case '"':
        return beginString(false)
      case 't':
        return beginWord('rue')
      case 'f':
        return beginWord('alse')
      case 'n':
        return beginWord('ull')
      case '-':
      case '0':
        expect = char
        return true
      default:
        expect = 'integer'
        return isDigit(char)
    }
  }

  const beginWord = (rest: string): boolean => {
    word = rest
    expect = 'word'
    return true
  }

  /** `char` is the first one after a number: the number was a value, and the character is looked at again. */
  const endNumber = (char: string): boolean => {
    close()
    return open.length > 0 && take(char)
  }

  /** Whether the character was taken. */
  const take = (char: string): boolean => {
    switch (expect) {
      case 'value':
        return beginValue(char)
      case 'value or ]':
        return char === ']' ? leave(false) : beginValue(char)
      case 'key or }':
        return char === '}' ? leave(true) : isSpace(char) || (char === '"' && beginString(true))
      case 'key':
        return isSpace(char) || (char === '"' && beginString(true))
      case ':':
        if (char === ':') expect = 'value'
        return char === ':' || isSpace(char)
      case ', or end':
        if (char === '}' || char === ']') return leave(char === '}')
        if (char === ',') expect = open.at(-1) === true ? 'key' : 'value'
        return char === ',' || isSpace(char)
      case 'string':
        if (char === '\\') expect = 'escape'
        else if (char === '"') {
          if (stringIsKey) expect = ':'
          else close()
        }
        return char >= ' '
      case 'escape':
        expect = char === 'u' ? 'hex' : 'string'
        hexLeft = 4
        return '"\\/bfnrtu'.includes(char)
      case 'hex':
        hexLeft--
        if (hexLeft === 0) expect = 'string'
        return /^[0-9a-fA-F]$/.test(char)
      case 'word': {
        const right = word.startsWith(char)
        word = word.slice(1)
        if (right && word === '') close()
        return right
      }
      case '-':
        expect = char === '0' ? '0' : 'integer'
        return isDigit(char)
      case '0':
      case 'integer':
        if (expect === 'integer' && isDigit(char)) return true
        if (char === '.') expect = '.'
        else if (char === 'e' || char === 'E') expect = 'e'
        else return endNumber(char)
        return true
      case '.':
        expect = 'fraction'
        return isDigit(char)
      case 'fraction':
        if (char === 'e' || char === 'E') expect = 'e'
        else if (!isDigit(char)) return endNumber(char)
        return true
      case 'e':
        if (char === '+' || char === '-') {
          expect = 'e sign'
          return true
        }
        expect = 'exponent'
        return isDigit(char)
      case 'e sign':
        expect = 'exponent'
        return isDigit(char)
      case 'exponent':
        return isDigit(char) || endNumber(char)
    }
  }

  return {
    get state() {
      return state
    },
    scan(text, from, to) {
      let at = from
      while (state === 'open' && at < to) {
        if (expect === 'string') {
          at = endOfPlain(text, at, to)
          if (at === to) break
        }
        if (take(text.charAt(at))) at++
        // A number that stands alone ends before the character after it.
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
