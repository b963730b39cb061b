import { describe, expect, it } from 'vitest';
import { loadPasswordPolicy } from '../../plugins/passwords/policy.ts';

const check = await loadPasswordPolicy();
const context = { name: 'Zoë van Dam', email: 'z.vandam@mail.example.org', serviceName: 'Nimbus Auth' };

describe('the policy for new passwords', () => {
  it.each(['password', 'PassWord', '12345678', 'qwertyuiop', 'iloveyou', 'ｐａｓｓｗｏｒｄ'])(
    'refuses the common %s',
    (password) => {
      expect(check(password, context)).toBe('common');
    },
  );

  it.each([
    'zoëvandam',
    'Zoë van Dam',
    'zoe\u0308-1987',
    'NIMBUS2026',
    'nimbusauth1',
    'z.vandam@mail.example.org',
    'vandam!!vandam',
    'example.org1',
  ])('refuses %s, made of its context', (password) => {
    expect(check(password, context)).toBe('context');
  });

  it.each(['correct horse battery', 'zoë likes green elephants', '\ud800\0 anything at all', 'xK4!m9_tQz'])(
    'takes %j',
    (password) => {
      expect(check(password, context)).toBeNull();
    },
  );

  it('takes a word out before its parts', () => {
    expect(check('annamaria12345', { ...context, name: 'Anna Annamaria' })).toBe('context');
  });

  it('takes anything uncommon when the context is empty or short', () => {
    expect(check('abcxyz-17', { name: 'A B', email: 'a@b.c', serviceName: '' })).toBeNull();
  });
});
