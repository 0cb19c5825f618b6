/** The formats of strings, as patterns. They let pass what checkers of formats do, though not always all of it. */
const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,28}[A-Za-z0-9])?'
const octet = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const ipv4 = `(${octet}\\.){3}${octet}`
const group = '[0-9A-Fa-f]{1,4}'
const ipv6 = [
  `(${group}:){7}${group}`,
  ...Array.from({ length: 7 }, (_, before) => `${before === 0 ? ':' : `(${group}:){${before}}`}(:${group}){1,${7 - before}}`),
  `(${group}:){1,7}:`,
  '::',
].join('|')
const day = {
  long: '(0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])',
  short: '(0[469]|11)-(0[1-9]|[12]\\d|30)',
  february: '02-(0[1-9]|1\\d|2[0-8])',
}
const leapYear = '(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)'
const date = `(\\d{4}-(${day.long}|${day.short}|${day.february})|${leapYear}-02-29)`
const time = '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+\\-]([01]\\d|2[0-3]):[0-5]\\d)'
const duration = {
  date: '(\\d{1,9}Y(\\d{1,9}M(\\d{1,9}D)?)?|\\d{1,9}M(\\d{1,9}D)?|\\d{1,9}D)',
  time: 'T(\\d{1,9}H(\\d{1,9}M(\\d{1,9}S)?)?|\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}S)',
}
const atom = "[A-Za-z0-9!#$%&'*+\\/=?^_`{|}~\\-]+"
const anyLabel = '[A-Za-z0-9]+(-+[A-Za-z0-9]+)*'
const email = `${atom}(\\.${atom})*@${anyLabel}(\\.${anyLabel})+`
const pathCharacter = "([A-Za-z0-9\\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
const uri = [
  `[A-Za-z][A-Za-z0-9+.\\-]{0,30}:\\/\\/(${label}(\\.${label}){0,7}|${ipv4}|\\[(${ipv6})\\])(:\\d{1,5})?(\\/${pathCharacter}*)*(\\?(${pathCharacter}|[\\/?])*)?(#(${pathCharacter}|[\\/?])*)?`,
  `urn:[A-Za-z0-9][A-Za-z0-9\\-]{1,30}:${pathCharacter}+`,
  `mailto:${email}`,
].join('|')

export const stringFormats: ReadonlyMap<string, string> = new Map([
  ['date', `^${date}$`],
  ['time', `^${time}$`],
  ['date-time', `^${date}T${time}$`],
  ['duration', `^P(\\d{1,9}W|${duration.date}(${duration.time})?|${duration.time})$`],
  ['uuid', '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'],
  ['email', `^${email}$`],
  ['hostname', `^${label}(\\.${label}){0,7}$`],
  ['ipv4', `^${ipv4}$`],
  ['ipv6', `^(${ipv6})$`],
  ['uri', `^(${uri})$`],
])

/** Formats of numbers, and what they leave. */
export const numberFormats: ReadonlyMap<string, { readonly minimum: number; readonly maximum: number } | undefined> = new Map([
  ['int32', { minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }],
  ['int64', undefined],
  ['float', undefined],
  ['double', undefined],
])
