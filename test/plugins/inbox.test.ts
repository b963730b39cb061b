import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createInbox } from '../../plugins/mailer/inbox.ts';
import { SECOND, startApp, unique } from '../support/app.ts';

const HTTP = 'http://auth.example.test';

describe('/dev/inbox', async () => {
  const app = await startApp('postgres-only', { env: { SMTP_URL: '', APP_URL: HTTP } });
  const json = async (to: string) => {
    const answer = await fetch(`${app.url}/dev/inbox?to=${encodeURIComponent(to)}`, {
      headers: { accept: 'application/json' },
    });
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    return (await answer.json()) as { to: string; text: string; html: string; subject: string }[];
  };
  const html = async (path: string) => {
    const answer = await fetch(`${app.url}${path}`, { headers: { accept: 'text/html' } });
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    return { text: await answer.text(), policy: answer.headers.get('content-security-policy') ?? '' };
  };

  test('JSON: the mails to one address, newest first, with a link that works', async () => {
    const email = `${unique('ada')}@example.test`;
    const client = app.client();
    const arrived = (count: number) =>
      expect.poll(async () => (await json(email.toUpperCase())).length, { timeout: 10 * SECOND }).toBe(count);
    await client.post('/auth/signup', { email, name: 'Ada', password: 'long enough' });
    await arrived(1);
    await client.post('/auth/forgot-password', { email });
    await arrived(2);
    const [reset, verification] = await json(email);
    expect(reset?.text).toContain(`${HTTP}/reset-password#token=`);
    const [, token] = /verify-email#token=(\S+)/.exec(verification?.text ?? '') ?? [];
    expect((await client.post('/auth/verify-email', { token: decodeURIComponent(token ?? '') })).status).toBe(
      200,
    );
    expect(await json('nobody@example.test')).toEqual([]);
  });

  test('the page escapes what mails hold, and links only to the app', async () => {
    const script = `<script>alert("${unique('x')}")</script>`;
    await app.app.mailer.deliver({
      to: 'page@example.test',
      subject: script,
      text: `${script} https://evil.test/ ${HTTP}/verify-email#token=t"onclick="x`,
      html: script,
    });
    const { text, policy } = await html('/dev/inbox?to=page@example.test');
    expect(text).not.toContain(script);
    expect(text).toContain('&lt;script&gt;');
    expect(text).not.toContain('href="https://evil.test');
    expect(text).toContain(`<a href="${HTTP}/verify-email#token=t&quot;onclick=&quot;x">`);
    expect(policy).toMatch(/^default-src 'none';/);
    expect(policy).not.toContain('unsafe');
  });

  test.each(['/dev/inbox', '/verify-email', '/reset-password'])(
    '%s runs its own script only',
    async (path) => {
      const { text, policy } = await html(path);
      const scripts = [...text.matchAll(/<script>(.*?)<\/script>/gs)].map(([, source = '']) => source);
      expect(scripts).toHaveLength(1);
      const hash = createHash('sha256')
        .update(scripts[0] ?? '')
        .digest('base64');
      expect(policy).toContain(`script-src 'sha256-${hash}'`);
      expect(text).not.toMatch(/ on\w+=/);
    },
  );

  test('opening a link verifies nobody', async () => {
    const email = `${unique('scanned')}@example.test`;
    await app.client().post('/auth/signup', { email, name: 'Ada', password: 'long enough' });
    await expect.poll(async () => (await json(email)).length, { timeout: 10 * SECOND }).toBe(1);
    const [, token = ''] = /verify-email#token=(\S+)/.exec((await json(email))[0]?.text ?? '') ?? [];
    await html('/verify-email');
    await html(`/verify-email?token=${token}`);
    expect((await app.app.repository.findUserByEmail(email))?.isVerified).toBe(false);
  });

  test('DELETE forgets all', async () => {
    await app.app.mailer.deliver({ to: 'gone@example.test', subject: 's', text: 't', html: 'h' });
    expect((await fetch(`${app.url}/dev/inbox`, { method: 'DELETE' })).status).toBe(204);
    expect(await json('gone@example.test')).toEqual([]);
  });
});

describe('where it is not', async () => {
  const app = await startApp('postgres-only');
  test.each(['/dev/inbox', '/verify-email', '/reset-password'])(
    '%s is 404 with SMTP_URL and an app',
    async (path) => {
      expect((await app.client().get(path)).status).toBe(404);
    },
  );
});

test('it keeps the newest and no more than it may', () => {
  const inbox = createInbox(2);
  for (const subject of ['1', '2', '3']) inbox.add({ to: 'a@b.test', subject, text: '', html: '' });
  expect(inbox.list().map(({ subject }) => subject)).toEqual(['3', '2']);
});
