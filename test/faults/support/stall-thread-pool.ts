import { open } from 'node:fs'

/**
 * Loaded into a service with --import: on SIGUSR2 a thread of libuv's pool is blocked for good, by opening the named pipe TEST_STALL_PIPE that
 * nobody writes to. With a pool of one thread native code that was to run there, a decode call for example, does not return.
 */
process.on('SIGUSR2', () => open(process.env['TEST_STALL_PIPE'] ?? '', 'r', () => undefined))
