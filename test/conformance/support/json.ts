/** As JSON.parse, but nothing is known of the result. */
export function parseJson(text: string | null | undefined): unknown {
  return JSON.parse(text ?? '')
}
