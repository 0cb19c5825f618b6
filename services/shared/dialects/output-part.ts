/** What an output parser makes of a model's output. */
export type OutputPart =
  | { kind: 'text'; text: string }
  | { kind: 'reasoning'; text: string }
  /** Begins a call of a tool. Calls are counted from 0. */
  | { kind: 'tool_call'; index: number; name: string }
  /** A piece of the JSON text of a call's arguments. */
  | { kind: 'tool_arguments'; index: number; text: string }
