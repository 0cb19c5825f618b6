import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type SecureContext, createSecureContext, getCACertificates } from 'node:tls'
import { SourceFailed } from './failures.ts'

/** Variables that name a file or folder of CA certificates, as OpenSSL, Python's requests, curl and Node know them. */
const caVariables = ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'] as const

export interface Trust {
  env: NodeJS.ProcessEnv
  /** A further file or folder of CA certificates (pip's cert setting). */
  caFile?: string | undefined
  /** PEM file with a client's key and certificates (pip's client-cert setting). */
  clientCertificate?: string | undefined
}

/**
 * The union of the CAs that Node ships, that the system trusts and that the environment names. A site's own CA thus works
 * wherever one of its tools has been told of it; a model's digest is checked in any case.
 */
export async function secureContext({ env, caFile, clientCertificate }: Trust): Promise<SecureContext> {
  const ca = new Set([...getCACertificates('default'), ...systemCertificates()])
  for (const name of caVariables) {
    const path = env[name]
    if (path !== undefined && path !== '') for (const pem of await readCertificates(path, name)) ca.add(pem)
  }
  if (caFile !== undefined) for (const pem of await readCertificates(caFile, "pip's cert setting")) ca.add(pem)
  const own = clientCertificate === undefined ? undefined : await readPem(clientCertificate, "pip's client-cert setting")
  try {
    return createSecureContext({ ca: [...ca], ...(own === undefined ? {} : { key: own, cert: own }) })
  } catch (error) {
    throw new SourceFailed('a certificate file named by the environment or by pip holds no valid PEM', { cause: error })
  }
}

function systemCertificates(): string[] {
  try {
    return getCACertificates('system')
  } catch {
    // Some systems have no store that Node can read.
    return []
  }
}

async function readCertificates(path: string, named: string): Promise<string[]> {
  const isFolder = await stat(path)
    .then((stats) => stats.isDirectory())
    .catch(() => false)
  if (!isFolder) return [await readPem(path, named)]
  const files = (await readdir(path)).filter((file) => /\.(pem|crt)$/.test(file))
  return await Promise.all(files.map(async (file) => await readPem(join(path, file), named)))
}

async function readPem(path: string, named: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new SourceFailed(`the certificate file ${path} (named by ${named}) can't be read`, { cause: error })
  }
}
