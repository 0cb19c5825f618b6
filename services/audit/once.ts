/** At least so many are remembered; a message is sent again within seconds. */
const minRemembered = 8192

/** Runs what has an id once, however often it is asked for, as long as the id is remembered. What failed can be tried again. */
export function createOnce(): (id: string, run: () => Promise<number>) => Promise<number> {
  let recent = new Map<string, Promise<number>>()
  let older = new Map<string, Promise<number>>()
  return (id, run) => {
    const known = recent.get(id) ?? older.get(id)
    if (known !== undefined) return known
    const running = run()
    recent.set(id, running)
    running.catch(() => {
      recent.delete(id)
      older.delete(id)
    })
    if (recent.size >= minRemembered) {
      older = recent
      recent = new Map()
    }
    return running
  }
}
