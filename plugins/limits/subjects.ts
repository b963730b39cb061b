import { isIP, isIPv6 } from 'node:net';

/** The address alone: some proxies add the port, which differs with each connection. `unknown` for what is no address. */
export function addressOf(forwarded: string): string {
  const [, bare = forwarded] = /^\[?(.*?)\]?(?::\d+)?$/.exec(forwarded) ?? [];
  return [forwarded, bare].find((text) => isIP(text) !== 0) ?? 'unknown';
}

/** IPv4 as it is; IPv6 by its /64, since a client owns that many addresses at least. */
export function networkOf(address: string): string {
  const plain = addressOf(address).replace(/%.*$/, '').toLowerCase();
  if (!isIPv6(plain)) return plain;
  // The URL parser knows every spelling and gives the shortest.
  const canonical = new URL(`http://[${plain}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right];
  if (groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff') return mapped(groups);
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** ::ffff:192.0.2.1 is how an IPv6 socket shows an IPv4 client. */
function mapped(groups: readonly string[]): string {
  const bytes = groups.slice(6).flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
  return bytes.join('.');
}
