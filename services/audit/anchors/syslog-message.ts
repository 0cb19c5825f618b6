/** facility 13, log audit; severity 5, notice. */
const priority = 13 * 8 + 5

export interface SyslogCheckpoint {
  size: number
  note: string
  /** Milliseconds since 1970. */
  time: number
  hostname: string
  pid: number
}

/**
 * RFC 5424. The message is JSON in ASCII, because receivers replace line ends and what they take for control characters:
 * {"checkpoint":"…"} is the signed note, byte by byte, for whoever parses it.
 */
export function syslogMessage({ size, note, time, hostname, pid }: SyslogCheckpoint): string {
  const host = hostname.replaceAll(/[^!-~]/g, '').slice(0, 255) || '-'
  const json = JSON.stringify({ size, checkpoint: note }).replaceAll(/[^ -~]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `<${priority}>1 ${new Date(time).toISOString()} ${host} intramuros-audit ${pid} checkpoint - ${json}`
}
