import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

/** Loaded with --import into a process whose system calls strace picks by their paths: what it names at random gets a name that the test knows. */
crypto.randomUUID = () => '00000000-0000-4000-8000-000000000000'
syncBuiltinESMExports()
