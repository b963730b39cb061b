import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLegacyVerifier } from '../../plugins/tokens/legacy.ts';

const secret = createHash('sha256').update('the old service').digest('hex');
const now = new Date('2026-05-01T12:00:00Z');
const seconds = now.getTime() / 1000;
const userId = '65f0c0ffee65f0c0ffee65f0';
const verifier = createLegacyVerifier({
  secret,
  until: new Date('2026-06-01T00:00:00Z'),
  subjectClaims: ['sub', 'id', 'userId', '_id'],
});

const encode = (json: unknown) =>
  Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)).toString('base64url');
const HEADER = { alg: 'HS256', typ: 'JWT' };
function sign(payload: unknown, header: unknown = HEADER, key = secret, hash = 'sha256') {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
}
const good = { userId, iat: seconds - 60, exp: seconds + 60 };

describe('tokens of the old service', () => {
  it.each(['sub', 'id', 'userId', '_id'])('give their user in %s', (claim) => {
    const { userId: value, ...times } = good;
    expect(verifier.verify(sign({ ...times, [claim]: value }), now)).toEqual({
      userId,
      endsAt: new Date((seconds + 60) * 1000),
    });
  });

  it('are good without iat and typ, and from nbf on', () => {
    expect(
      verifier.verify(sign({ id: userId, exp: seconds + 1, nbf: seconds }, { alg: 'HS256' }), now),
    ).toEqual({ userId, endsAt: new Date((seconds + 1) * 1000) });
  });

  it('end with the exchange, however long they were to last', () => {
    const endsAt = new Date('2026-06-01T00:00:00Z');
    expect(verifier.verify(sign({ ...good, exp: 8e12 - 1 }), now)).toMatchObject({ endsAt });
  });

  it('turn other ids into the ids that documents get', () => {
    expect(verifier.verify(sign({ ...good, userId: 'anna' }), now)?.userId).toBe('anna');
    expect(verifier.verify(sign({ ...good, userId: '~anna' }), now)?.userId).toBe('~s~anna');
    expect(verifier.verify(sign({ ...good, userId: 17 }), now)?.userId).toMatch(/^~b/);
  });

  it.each([
    ['alg none', `${encode({ alg: 'none' })}.${encode(good)}.`],
    ['alg none over a good signature', sign(good, { alg: 'none' })],
    ['HS512', sign(good, { alg: 'HS512' }, secret, 'sha512')],
    ['HS384 in name', sign(good, { alg: 'HS384' })],
    ['an asymmetric alg', sign(good, { alg: 'RS256' })],
    ['an alg in other letters', sign(good, { alg: 'hs256' })],
    ['no alg', sign(good, {})],
    ['a header that is no object', sign(good, '[]')],
    ['critical extensions', sign(good, { ...HEADER, crit: ['exp'] })],
    ['another secret', sign(good, HEADER, 'another')],
    ['an empty secret', sign(good, HEADER, '')],
    ['another payload', sign(good).replace(/\.[\w-]+\./, `.${encode({ ...good, userId: 'eve' })}.`)],
    ['no expiry', sign({ userId, iat: seconds })],
    ['an expiry in words', sign({ ...good, exp: 'never' })],
    ['an expiry of now', sign({ ...good, exp: seconds })],
    ['a start in the future', sign({ ...good, nbf: seconds + 1 })],
    ['no subject', sign({ iat: seconds, exp: seconds + 60 })],
    ['an empty subject', sign({ ...good, userId: '' })],
    ['a subject that is an object', sign({ ...good, userId: { $gt: '' } })],
    ['an odd subject before a good one', sign({ ...good, sub: null })],
    ['a payload that is no object', sign('"hello"')],
    ['a payload that is no JSON', sign('{')],
    ['four parts', `${sign(good)}.a`],
    ['padding', `${sign(good)}=`],
    ['white space', ` ${sign(good)}`],
    ['more than 8 KiB', sign({ ...good, more: 'a'.repeat(8192) })],
    ['nothing', ''],
  ])('are refused with %s', (_, token) => {
    expect(verifier.verify(token, now)).toBeNull();
  });

  it('are refused from the end date on', () => {
    const late = new Date('2026-06-01T00:00:00Z');
    const token = sign({ userId, exp: late.getTime() / 1000 + 60 });
    expect(verifier.verify(token, new Date(late.getTime() - 1))).not.toBeNull();
    expect(verifier.verify(token, late)).toBeNull();
  });

  it('are refused when a single character differs', () => {
    const token = sign(good);
    const changed = fc.tuple(fc.nat(token.length - 1), fc.constantFrom('A', 'b', '0', '_', '.', '='));
    fc.assert(
      fc.property(changed, ([at, by]) => {
        fc.pre(token[at] !== by);
        expect(verifier.verify(token.slice(0, at) + by + token.slice(at + 1), now)).toBeNull();
      }),
    );
  });

  // The last character has two bits to spare: without care four of them are the same signature.
  it('are refused when only the spare bits of the signature differ', () => {
    const token = sign(good);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const taken = [...alphabet].filter((last) => verifier.verify(token.slice(0, -1) + last, now) !== null);
    expect(taken).toEqual([token.at(-1)]);
  });

  it('need a secret', () => {
    expect(() => createLegacyVerifier({ secret: '', until: now, subjectClaims: ['sub'] })).toThrow(/empty/);
  });
});
