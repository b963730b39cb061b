import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { hashSync } from 'bcryptjs';
import fc from 'fast-check';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  createPasswords,
  HASH_WAIT_MAX_MS,
  HashingOverloaded,
  type PasswordOptions,
} from '../../plugins/passwords/passwords.ts';

const keyOf = (version: string) => createHash('sha256').update(`pre-hash ${version}`).digest();
const keysOf = (current: string, ...older: string[]): PasswordOptions['preHashKeys'] => ({
  current,
  key: (version) => ([current, ...older].includes(version) ? keyOf(version) : null),
});

const opened: ReturnType<typeof createPasswords>[] = [];
function open(options: Partial<PasswordOptions> = {}) {
  const preHashKeys = keysOf('v1');
  const passwords = createPasswords({ cost: 4, threads: 1, queueMax: 1000, preHashKeys, ...options });
  opened.push(passwords);
  return passwords;
}
afterAll(() => Promise.all(opened.map((passwords) => passwords.close())));

/** 71 bytes, and the tail. */
const long = (tail: string) => `é${'é'.repeat(34)}e${tail}`;

describe('what bcrypt cannot read', () => {
  const passwords = open();

  it('takes any password exactly as it is', async () => {
    const anyString = fc.string({ unit: 'binary', maxLength: 120 });
    const anyUnits = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 120 });
    const password = fc.oneof(
      anyString,
      anyUnits.map((units) => String.fromCharCode(...units)),
    );
    await fc.assert(
      fc.asyncProperty(password, password, async (given, other) => {
        const hash = await passwords.hash(given);
        expect(await passwords.verify(given, hash)).toBe(true);
        expect(await passwords.verify(other, hash)).toBe(other === given);
        expect(passwords.needsUpgrade(hash, given)).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['beyond 72 bytes', long('aa'), long('ab')],
    ['of 72 bytes and more', long('a'), long('aa')],
    ['of 71 bytes and more', long(''), long('aa')],
    ['of lone surrogates', long('\ud800'), long('\udfff')],
    ['of a lone surrogate and its replacement', long('\ud800'), long('\ufffd')],
    ['after NUL', 'ab\0cd', 'ab\0ce'],
  ])('tells passwords apart %s', async (_, a, b) => {
    expect(await passwords.verify(b, await passwords.hash(a))).toBe(false);
    expect(await passwords.verify(a, await passwords.hash(b))).toBe(false);
  });

  it('tells a password with NUL from the one that bcrypt takes it for', async () => {
    expect(hashSync('ab\0ab', `$2b$04$${'.'.repeat(22)}`)).toBe(hashSync('ab', `$2b$04$${'.'.repeat(22)}`));
    expect(await passwords.verify('ab', await passwords.hash('ab\0ab'))).toBe(false);
    const plain = await passwords.hash('ab');
    for (const taken of ['ab\0', 'ab\0ab', 'ab\0ab\0', 'ab\0'.repeat(30), `${'ab\0'.repeat(24)}other`]) {
      expect(await passwords.verify(taken, plain), JSON.stringify(taken)).toBe(false);
    }
  });

  it('stores plain bcrypt up to 71 bytes, and says so when it pre-hashed', async () => {
    expect(await passwords.hash(long(''))).toMatch(/^\$2b\$04\$/);
    expect(await passwords.hash(long('a'))).toMatch(/^\{sha384:v1\}\$2b\$04\$/);
    expect(await passwords.hash('a\0')).toMatch(/^\{sha384:v1\}\$2b\$04\$/);
  });
});

describe('hashes of the old service', () => {
  const passwords = open();
  const legacy = (password: string, minor: string) => hashSync(password, 4).replace('$2b$', `$2${minor}$`);

  it.each(['a', 'b', 'y'])('verifies the prefix 2%s as plain bcrypt', async (minor) => {
    const hash = legacy('correct horse', minor);
    expect(await passwords.verify('correct horse', hash)).toBe(true);
    expect(await passwords.verify('correct hors', hash)).toBe(false);
    expect(passwords.needsUpgrade(hash, 'correct horse')).toBe(false);
  });

  it('verifies a hash that another implementation made', async () => {
    // From the test vectors of OpenBSD's crypt_blowfish: the password is 72 times the byte it repeats, U*U.
    expect(
      await passwords.verify('U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'),
    ).toBe(true);
    expect(
      await passwords.verify('U*U', '$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'),
    ).toBe(true);
  });

  it('lets a cut password in, and asks for a better hash', async () => {
    const hash = legacy(long('tail'), 'a');
    expect(await passwords.verify(long('tail'), hash)).toBe(true);
    expect(await passwords.verify(long('tale'), hash)).toBe(true);
    expect(passwords.needsUpgrade(hash, long('tail'))).toBe(true);
    expect(passwords.needsUpgrade(legacy('a\0b', 'a'), 'a\0b')).toBe(true);
  });

  it('verifies a password with NUL that is no other', async () => {
    expect(await passwords.verify('a\0b', legacy('a\0b', 'a'))).toBe(true);
    expect(await passwords.verify('a', legacy('a\0b', 'a'))).toBe(false);
  });
});

describe('upgrades', () => {
  it('asks for one at a lower cost or an older key, never at a higher cost', async () => {
    const before = open({ cost: 5 });
    const short = await before.hash('correct horse');
    const pre = await before.hash(long('tail'));
    const dearer = open({ cost: 6, preHashKeys: keysOf('v2', 'v1') });
    const same = open({ cost: 5, preHashKeys: keysOf('v2', 'v1') });
    const cheaper = open({ cost: 4 });
    expect(dearer.needsUpgrade(short, 'correct horse')).toBe(true);
    expect(same.needsUpgrade(short, 'correct horse')).toBe(false);
    expect(same.needsUpgrade(pre, long('tail'))).toBe(true);
    expect(await same.verify(long('tail'), pre)).toBe(true);
    expect(await same.verify(long('other'), pre)).toBe(false);
    expect(cheaper.needsUpgrade(short, 'correct horse')).toBe(false);
    expect(cheaper.needsUpgrade(pre, long('tail'))).toBe(false);
    expect(await cheaper.verify('correct horse', short)).toBe(true);
  });
});

describe('hashes that nothing matches', () => {
  it('answers false and reports why, never throws', async () => {
    const reasons: string[] = [];
    const passwords = open({ onUnusable: (reason) => void reasons.push(reason) });
    const valid = hashSync('a', 4);
    expect(await passwords.verify('a', null)).toBe(false);
    expect(reasons).toEqual([]);
    const broken = [
      '',
      'a',
      valid.slice(0, -1),
      `${valid}a`,
      valid.replace('$2b', '$2x'),
      valid.replace('$04', '$03'),
    ];
    for (const hash of [
      ...broken,
      valid.replace('$04', '$31'),
      `{sha384:}${valid}`,
      `{sha512:v1}${valid}`,
      `${valid}\n`,
    ]) {
      expect(await passwords.verify('a', hash)).toBe(false);
      expect(passwords.needsUpgrade(hash, 'a')).toBe(false);
    }
    expect(reasons).toEqual(Array(10).fill('malformed'));
    expect(await passwords.verify('a', `{sha384:v9}${valid}`)).toBe(false);
    expect(reasons.at(-1)).toBe('unknown-key');
  });

  it('takes no text whatever for a match', async () => {
    const passwords = open();
    const valid = hashSync('a', 4);
    const mutated = fc
      .tuple(fc.nat(59), fc.constantFrom('$', '{', 'A', '0', '\0'))
      .map(([at, by]) => valid.slice(0, at) + by + valid.slice(at + 1))
      .filter((hash) => hash !== valid);
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), mutated), async (hash) => {
        expect(await passwords.verify('b', hash)).toBe(false);
      }),
    );
  });

  it('costs the same work for no user, an unusable hash, and a hash of low cost', async () => {
    const passwords = open({ cost: 9 });
    const kinds = {
      real: hashSync('a', 9),
      low: hashSync('a', 4),
      none: null,
      broken: '!',
      foreign: `{sha384:v9}${hashSync('a', 4)}`,
    };
    const times = new Map<string, number[]>();
    for (let round = 0; round < 7; round++) {
      for (const [kind, hash] of Object.entries(kinds)) {
        // Of all threads of the process, and nothing that others do.
        const start = process.cpuUsage();
        await passwords.verify('wrong', hash);
        const { user, system } = process.cpuUsage(start);
        times.set(kind, [...(times.get(kind) ?? []), user + system]);
      }
    }
    // Without the dummy or the topping up the ratio would be 1 to 32 or more.
    const quickest = [...times.values()].map((sample) => Math.min(...sample));
    expect(Math.max(...quickest) / Math.min(...quickest)).toBeLessThan(2);
  });
});

describe('the queue', () => {
  it('refuses what does not fit, and recovers', async () => {
    const passwords = open({ cost: 8, threads: 2, queueMax: 3 });
    const attempts = Array.from({ length: 20 }, (_, i) =>
      i % 2 ? passwords.hash('a') : passwords.verify('a', null),
    );
    expect(passwords.pending()).toBe(5);
    const results = await Promise.allSettled(attempts);
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused).toHaveLength(15);
    expect(refused.every(({ reason }) => reason instanceof HashingOverloaded)).toBe(true);
    expect(results.slice(0, 5).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(passwords.pending()).toBe(0);
    expect(await passwords.verify('a', await passwords.hash('a'))).toBe(true);
  });

  it('goes round among those for whom it hashes, and what is full makes room for who has less', async () => {
    const passwords = open({ cost: 8, threads: 1, queueMax: 4 });
    const served: string[] = [];
    const ask = (name: string, from: string) =>
      passwords.verify('a', null, from).then(
        () => void served.push(name),
        (error: unknown) => {
          expect(error).toBeInstanceOf(HashingOverloaded);
          served.push(`no ${name}`);
        },
      );
    const many = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6'].map((name) => ask(name, 'a'));
    const few = ['b1', 'b2', 'b3'].map((name) => ask(name, 'b'));
    expect(passwords.pending()).toBe(5);
    await Promise.all([...many, ...few]);
    const refused = served.filter((name) => name.startsWith('no ')).sort();
    expect(refused).toEqual(['no a4', 'no a5', 'no a6', 'no b3']);
    expect(served.filter((name) => !name.startsWith('no '))).toEqual(['a1', 'a2', 'b1', 'a3', 'b2']);
    expect(passwords.pending()).toBe(0);
  });

  it('refuses who has waited too long, and serves who has not', async () => {
    const passwords = open({ cost: 8 });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const [running, ...waiting] = [passwords.hash('a'), passwords.hash('b'), passwords.verify('c', null)];
    vi.advanceTimersByTime(HASH_WAIT_MAX_MS - 1);
    const later = passwords.verify('d', null);
    vi.advanceTimersByTime(1);
    const waited = await Promise.allSettled(waiting);
    const reasons = waited.map((result) => result.status === 'rejected' && result.reason);
    expect(reasons).toEqual([expect.any(HashingOverloaded), expect.any(HashingOverloaded)]);
    await expect(running).resolves.toMatch(/^\$2b\$08\$/);
    await expect(later).resolves.toBe(false);
    expect(passwords.pending()).toBe(0);
  });

  it('leaves the event loop alone', async () => {
    const passwords = open({ cost: 11 });
    let turns = 0;
    let done = false;
    const hashing = passwords.hash('a').finally(() => {
      done = true;
    });
    while (!done) {
      await setImmediate();
      turns += 1;
    }
    await hashing;
    expect(turns).toBeGreaterThan(100);
  });

  it('finishes what it accepted when it closes, and accepts nothing more', async () => {
    const passwords = open({ cost: 8 });
    const accepted = Promise.all([passwords.hash('a'), passwords.hash('b'), passwords.hash('c')]);
    const closing = passwords.close();
    await expect(passwords.hash('d')).rejects.toThrow(HashingOverloaded);
    await closing;
    await expect(accepted).resolves.toHaveLength(3);
  });
});
