import { pythonEnvironment } from '../support/python.ts'

/**
 * The Python clients, at their current versions. Of langchain-openai it is the one before the newest: that wants a langchain-core
 * which wants a certifi that was not published yet.
 */
export async function pythonClients(): Promise<string> {
  return await pythonEnvironment('clients', [
    'anthropic==2.12.0',
    'langchain-classic==1.0.8',
    'langchain-core==1.7.2',
    'langchain-openai==1.7.3',
    'langchain-tests==1.1.9',
    'openai==3.54.0',
    'pytest==9.2.0',
  ])
}

/** In an environment of its own: what it wants of others' versions is its own affair. */
export async function schemathesis(): Promise<string> {
  return await pythonEnvironment('schemathesis', ['schemathesis==4.32.5'])
}
