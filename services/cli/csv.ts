/**
 * A line of CSV as RFC 4180 has it. A text that a spreadsheet would take for a formula gets an apostrophe in front: names of teams and keys
 * may begin with a sign.
 */
export function csvLine(cells: readonly (string | number | boolean)[]): string {
  return `${cells.map((cell) => quoted(typeof cell === 'string' ? guarded(cell) : String(cell))).join(',')}\r\n`
}

function guarded(text: string): string {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
