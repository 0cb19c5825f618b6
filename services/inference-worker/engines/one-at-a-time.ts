/** Calls wait for the end of those before, whether they succeeded or not. */
export function oneAtATime<Parameters extends unknown[], Result>(
  call: (...parameters: Parameters) => Promise<Result>,
): (...parameters: Parameters) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve()
  return (...parameters) => {
    const result = last.then(() => call(...parameters))
    last = result.catch(() => undefined)
    return result
  }
}
