import { parseTarget, type Target } from './target.ts'

/** Public name servers, which always listen, and the address where clouds tell credentials. docs/isolation.md lists them. */
export const usualOutside: readonly string[] = [
  'tcp:1.1.1.1:443',
  'tcp:9.9.9.9:443',
  'tcp:[2606:4700:4700::1111]:443',
  'tcp:1.1.1.1:53',
  'dns:1.1.1.1:53',
  'dns:[2606:4700:4700::1111]:53',
  'ping:1.1.1.1',
  'ping:[2606:4700:4700::1111]',
  'tcp:169.254.169.254:80',
]

/** What the setting isolation.outside stands for. */
export function outsideTargets(setting: readonly string[]): Target[] {
  const texts = setting.length === 0 ? usualOutside : setting
  return texts.map(parseTarget).filter((target): target is Target => target !== undefined)
}
