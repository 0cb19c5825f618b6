import { expect, test } from 'vitest'
import { resultOfError, resultOfPing } from './observation.ts'

test.each([
  ['ECONNREFUSED', 'refused'],
  ['EHOSTUNREACH', 'rejected'],
  ['EPERM', 'rejected'],
  ['EACCES', 'rejected'],
  ['EINVAL', 'rejected'],
  ['ENETUNREACH', 'no-route'],
  ['EADDRNOTAVAIL', 'no-route'],
  ['EAFNOSUPPORT', 'no-route'],
  ['ETIMEDOUT', 'silent'],
  ['EMFILE', 'untried'],
  ['unknown', 'untried'],
])('%s means %s', (code, result) => {
  expect(resultOfError(code)).toBe(result)
})

const statistics = '\n--- 127.0.0.5 ping statistics ---\n4 packets transmitted, 0 received, 100% packet loss, time 1532ms\n'
/** What ping of iputils 20221126 has written, with its status. */
test.each<[string, number | null, string, string]>([
  ['an answer', 0, '64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.241 ms', 'reached'],
  ['none', 1, `PING 127.0.0.5 (127.0.0.5) 56(84) bytes of data.\n${statistics}`, 'silent'],
  ['a wall that tells', 1, `PING 127.0.0.6 (127.0.0.6) 56(84) bytes of data.\nFrom 127.0.0.6 icmp_seq=1 Packet filtered\n${statistics}`, 'rejected EHOSTUNREACH'],
  ['a host that is not there', 1, `From 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n${statistics}`, 'rejected EHOSTUNREACH'],
  ['a wall in the machine', 1, `ping: sendmsg: Operation not permitted\n${statistics}`, 'rejected EPERM'],
  ['no way', 2, 'ping: connect: Network is unreachable\n', 'no-route ENETUNREACH'],
  ['a route that rejects', 2, 'ping: connect: No route to host\n', 'rejected EHOSTUNREACH'],
  ['a route that prohibits', 2, 'ping: Do you want to ping broadcast? Then -b. If not, check your local firewall rules\n', 'rejected EACCES'],
  ['a route that drops', 2, 'ping: connect: Invalid argument\n', 'rejected EINVAL'],
  ['no IPv6', 2, 'ping: connect: Cannot assign requested address\n', 'no-route EADDRNOTAVAIL'],
  ['no IPv6 at all', 2, 'ping: socket: Address family not supported by protocol\n', 'no-route EAFNOSUPPORT'],
  ['no right to', 2, 'ping: socktype: SOCK_RAW\nping: socket: Operation not permitted\nping: => missing cap_net_raw+p capability or setuid?\n', 'untried ping_not_permitted'],
  ['another program', 2, 'BusyBox v1.35.0 multi-call binary.\n', 'untried ping_failed'],
  ['killed', null, '', 'untried ping_failed'],
])('ping: %s', (_, status, output, expected) => {
  const { result, code } = resultOfPing(status, output)
  expect([result, code].join(' ').trim()).toBe(expected)
})
