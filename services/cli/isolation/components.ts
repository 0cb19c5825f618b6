/** Kinds of pods, as their label app.kubernetes.io/component says. */
export const components = ['gateway', 'tokenizer', 'audit', 'inference-worker'] as const
export type Component = (typeof components)[number]

/** Those that probe pods stand for; for the gateway the collector does itself. */
export type ProbedComponent = Exclude<Component, 'gateway'>
export const probedComponents = components.filter((component): component is ProbedComponent => component !== 'gateway')

export function asComponent(text: string | undefined): Component | undefined {
  return components.find((component) => component === text)
}
