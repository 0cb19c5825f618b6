/** Lines of aligned columns under their titles, for people; `empty` when there are no rows. Cells hold no line breaks. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  if (rows.length === 0) return `${empty}\n`
  const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const padded = (cells: readonly string[]): string[] => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0))
  return [titles, ...rows].map((cells) => `${padded(cells).join('  ').trimEnd()}\n`).join('')
}
