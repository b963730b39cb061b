import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newId } from '../../db/ids.ts';
import { createKeyring } from '../../plugins/keys/keyring.ts';
import {
  isAncestor,
  newRefreshToken,
  parseRefreshToken,
  type RefreshToken,
  successorOf,
} from '../../plugins/tokens/refresh.ts';

const secret = (label: string) => createHash('sha256').update(label).digest();
const keyring = createKeyring([{ version: 'v1', secret: secret('one') }]);
const rotated = createKeyring([
  { version: 'v2', secret: secret('two') },
  { version: 'v1', secret: secret('one') },
]);
const sessionId = newId(new Date());

function chain(length: number): RefreshToken[] {
  const tokens = [newRefreshToken(sessionId)];
  while (tokens.length < length)
    tokens.push(successorOf(keyring, tokens.at(-1) as RefreshToken, 'v1') as RefreshToken);
  return tokens;
}

describe('refresh tokens', () => {
  it('name their session, hold 256 bits, and parse back', () => {
    const token = newRefreshToken(sessionId);
    expect(token.text).toBe(`${sessionId}.${token.secret}`);
    expect(Buffer.from(token.secret, 'base64url')).toHaveLength(32);
    expect(token.hash).toBe(createHash('sha256').update(token.text).digest('hex'));
    expect(parseRefreshToken(token.text)).toEqual(token);
    expect(newRefreshToken(sessionId).secret).not.toBe(token.secret);
  });

  it('are nothing but what the service issues', () => {
    const { text } = newRefreshToken(sessionId);
    for (const other of [
      '',
      text.slice(1),
      `${text}a`,
      `${text}\n`,
      text.toUpperCase(),
      text.replace('.', '-'),
      ` ${text.slice(1)}`,
      `${text.slice(0, -1)}=`,
    ]) {
      expect(parseRefreshToken(other)).toBeNull();
    }
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 100 }),
        (other) => parseRefreshToken(other) === null,
      ),
    );
  });

  it('have one successor, the same on every instance and after the keys rotate', () => {
    const token = newRefreshToken(sessionId);
    const successor = successorOf(keyring, token, 'v1');
    expect(successor).toEqual(parseRefreshToken(successor?.text ?? ''));
    expect(successor?.sessionId).toBe(sessionId);
    expect(successor?.secret).not.toBe(token.secret);
    const elsewhere = parseRefreshToken(`${'0'.repeat(24)}.${token.secret}`) as RefreshToken;
    expect(successorOf(keyring, elsewhere, 'v1')?.secret).not.toBe(successor?.secret);
    expect(successorOf(rotated, token, 'v1')).toEqual(successor);
    expect(successorOf(rotated, token, 'v2')).not.toEqual(successor);
    expect(successorOf(keyring, token, 'v2')).toBeNull();
  });
});

describe('isAncestor', () => {
  it('knows every token that was replaced, whatever its age', async () => {
    const tokens = chain(130);
    const session = { tokenHash: tokens.at(-1)?.hash ?? '', rotation: tokens.length - 1, keyId: 'v1' };
    for (const [index, token] of tokens.entries()) {
      expect(await isAncestor(keyring, session, token)).toBe(index < tokens.length - 1);
    }
  });

  it('takes garbage, tokens of another session, and steps beyond the rotation for nothing', async () => {
    const tokens = chain(6);
    const session = { tokenHash: tokens[5]?.hash ?? '', rotation: 5, keyId: 'v1' };
    const [first] = tokens as [RefreshToken];
    expect(await isAncestor(keyring, session, newRefreshToken(sessionId))).toBe(false);
    const foreign = parseRefreshToken(`${'0'.repeat(24)}.${first.secret}`) as RefreshToken;
    expect(await isAncestor(keyring, session, foreign)).toBe(false);
    expect(await isAncestor(keyring, { ...session, rotation: 4 }, first)).toBe(false);
    expect(await isAncestor(keyring, { ...session, rotation: 0 }, first)).toBe(false);
    expect(await isAncestor(keyring, { ...session, keyId: 'v2' }, first)).toBe(false);
    expect(await isAncestor(keyring, { ...session, tokenHash: '' }, first)).toBe(false);
  });

  it('gives up after ten thousand steps', async () => {
    const tokens = chain(10_002);
    const session = { tokenHash: tokens[10_001]?.hash ?? '', rotation: 10_001, keyId: 'v1' };
    expect(await isAncestor(keyring, session, tokens[0] as RefreshToken)).toBe(false);
    expect(await isAncestor(keyring, session, tokens[1] as RefreshToken)).toBe(true);
  });
});
