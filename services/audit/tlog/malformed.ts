/** Bytes of a log, a note or a proof that are not what their format says. The message says what is wrong with them, never what they hold. */
export class MalformedError extends Error {}
