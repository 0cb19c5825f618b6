/** Why kept content, or a team's key to it, can't be used; for the person at the command line. Never holds a key or content. */
export class ContentError extends Error {
  override readonly name = 'ContentError'
}
