/** How encrypted model files are read; a section of the configuration's schema, see schema.ts. */
export const modelEncryption = {
  type: 'object',
  description:
    'Encrypted model files (age), as "intramuros models encrypt" makes them. At most one of the three key settings; only inference workers and the tokenizer read the key.',
  additionalProperties: false,
  properties: {
    keyFile: {
      type: 'string',
      format: 'file',
      default: '',
      description: 'File that holds the secret key: lines of AGE-SECRET-KEY-1…, as age-keygen writes them.',
    },
    keyVariable: {
      type: 'string',
      format: 'variable',
      default: '',
      description: 'Name of the environment variable that holds the secret key, for example INTRAMUROS_MODEL_KEY.',
    },
    keyCommand: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      default: [],
      description:
        'Program, by its absolute path, and arguments that write the secret key to standard output. Run without a shell, within 30 seconds.',
    },
    memoryFolder: {
      type: 'string',
      format: 'folder',
      default: '/dev/shm',
      description:
        'Folder on a tmpfs or ramfs, with room for the whole model, that model files are decrypted into. They never have a name there, and are gone with their process.',
    },
    refuseSwap: {
      type: 'boolean',
      default: false,
      description: 'Refuse to decrypt into a tmpfs while this machine has swap, to which its pages may be written; else only a warning is logged.',
    },
  },
} as const
