import { expect, test } from 'vitest';
import { inEveryMode, startApp } from '../support/app.ts';
import { isAlive, login, newPassword, newPerson, resetBody } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

interface DevMail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

inEveryMode(async (mode) => {
  const app = await startApp(mode, {
    env: { SMTP_URL: '', PUBLIC_URL: 'http://127.0.0.1:3000', APP_URL: 'http://127.0.0.1:3000' },
  });

  async function mailsTo(email: string): Promise<readonly DevMail[]> {
    const headers = { accept: 'application/json' };
    const answer = await app.client().get(`/dev/inbox?to=${encodeURIComponent(email)}`, { headers });
    expect(answer.status).toBe(200);
    return JSON.parse(answer.text) as DevMail[];
  }

  const tokenIn = (mail: DevMail | undefined): string => /[#=]([\w-]{40,})/.exec(mail?.text ?? '')?.[1] ?? '';

  test('in development mails wait in the inbox as JSON, newest first, with tokens that work', async () => {
    const ada = await newPerson(app);
    const [first] = await eventually(async () => {
      const mails = await mailsTo(ada.email);
      expect(mails).toHaveLength(1);
      return mails;
    });
    expect((await app.client().post('/auth/verify-email', { token: tokenIn(first) })).status).toBe(200);
    await app.client().post('/auth/forgot-password', { email: ada.email });
    await eventually(async () => expect(await mailsTo(ada.email)).toHaveLength(2));
    const [reset] = await mailsTo(ada.email);
    const changed = newPassword();
    const body = resetBody(tokenIn(reset), changed);
    expect((await app.client().post('/auth/reset-password', body)).status).toBe(200);
    expect(await isAlive((await login(app, ada.email, changed)).client)).toBe(true);
  });

  test('the page shows them, and nothing of a name becomes markup', async () => {
    const ada = await newPerson(app, { name: '<img src=x onerror=alert(1)>"\'&' });
    await eventually(async () => expect(await mailsTo(ada.email)).toHaveLength(1));
    const page = await app.client().get('/dev/inbox', { headers: { accept: 'text/html' } });
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    expect(page.text).toContain(ada.email);
    expect(page.text).not.toContain('<img src=x');
    for (const { html } of await mailsTo(ada.email)) expect(html).not.toContain('<img src=x');
  });

  test.each(['/verify-email', '/reset-password'])(
    'the page %s behind a link changes nothing by itself',
    async (path) => {
      const page = await app.client().get(path);
      expect([page.status, page.headers['referrer-policy']]).toEqual([200, 'no-referrer']);
      expect(page.headers['content-type']).toMatch(/^text\/html/);
    },
  );
});
