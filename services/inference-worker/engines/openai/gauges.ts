/**
 * The sum of a gauge over its label sets, from the text format of Prometheus; undefined when it is not there.
 */
export function readGauge(text: string, name: string): number | undefined {
  let sum: number | undefined
  for (const line of text.split('\n')) {
    if (!line.startsWith(name)) continue
    const rest = line.slice(name.length)
    // A label's value may hold anything but a line feed; the value is the last of the line, or a time stamp follows it.
    const value = /^(?:\{.*\})?[ \t]+([^ \t]+)(?:[ \t]+-?\d+)?[ \t\r]*$/.exec(rest)?.[1]
    const number = value === undefined ? Number.NaN : Number(value)
    if (Number.isFinite(number) && number >= 0) sum = (sum ?? 0) + number
  }
  return sum
}
