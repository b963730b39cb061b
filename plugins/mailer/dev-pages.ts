import { createHash } from 'node:crypto';
import type { KeptMail } from './inbox.ts';
import { escapeHtml } from './templates.ts';

export interface Page {
  readonly html: string;
  /** Allows the page's own style and script, by hash, and nothing else. */
  readonly contentSecurityPolicy: string;
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
article{border-top:1px solid #bbb;padding:1rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere}
input,button{font:inherit;padding:.3rem .6rem;margin:.2rem 0}label{display:block}`;

const sourceHash = (source: string) => `'sha256-${createHash('sha256').update(source).digest('base64')}'`;

function page(title: string, body: string, script: string): Page {
  return {
    html: [
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>`,
      '<meta name="viewport" content="width=device-width">',
      `<style>${STYLE}</style></head><body><h1>${escapeHtml(title)}</h1>`,
      body,
      `<script>${script}</script></body></html>`,
    ].join('\n'),
    contentSecurityPolicy: [
      "default-src 'none'",
      `style-src ${sourceHash(STYLE)}`,
      `script-src ${sourceHash(script)}`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  };
}

/** The mails as a page. Their text is escaped; only links to `appUrl` can be followed. */
export function inboxPage(mails: readonly KeptMail[], appUrl: string): Page {
  const shown = mails.map(({ to, subject, at, text }) =>
    [
      `<article><h2>${escapeHtml(subject)}</h2>`,
      `<p>to ${escapeHtml(to)}, <time>${escapeHtml(at)}</time></p>`,
      `<pre>${linked(text, appUrl)}</pre></article>`,
    ].join('\n'),
  );
  const body = shown.length === 0 ? '<p>No mails yet.</p>' : ['<button>Empty</button>', ...shown].join('\n');
  return page('Inbox', body, EMPTY_SCRIPT);
}

const EMPTY_SCRIPT = `document.querySelector('button')?.addEventListener('click', async () => {
  await fetch('/dev/inbox', { method: 'DELETE' });
  location.reload();
});`;

function linked(text: string, appUrl: string): string {
  return text
    .split(/(\S+)/)
    .map((word) =>
      word.startsWith(`${appUrl}/`)
        ? `<a href="${escapeHtml(word)}">${escapeHtml(word)}</a>`
        : escapeHtml(word),
    )
    .join('');
}

/** Acts on a click only, never by being opened: mail scanners follow links too. */
export function verifyPage(): Page {
  return page(
    'Verify your e-mail',
    '<button>Verify</button><p role="status"></p>',
    onClick('/auth/verify-email', '{ token }', 'Your e-mail is verified.'),
  );
}

export function resetPage(): Page {
  return page(
    'Choose a new password',
    [
      '<label>New password <input id="password" type="password" autocomplete="new-password"></label>',
      '<label>Again <input id="confirm" type="password" autocomplete="new-password"></label>',
      '<button>Change password</button><p role="status"></p>',
    ].join('\n'),
    onClick(
      '/auth/reset-password',
      '{ token, password: value("password"), confirmPassword: value("confirm") }',
      'Your password was changed.',
    ),
  );
}

/** `body` is an expression; texts are set as text, never as HTML. */
const onClick = (
  url: string,
  body: string,
  done: string,
) => `const value = (id) => document.getElementById(id).value;
const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
document.querySelector('button').addEventListener('click', async () => {
  const answer = await fetch('${url}', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(${body}),
  });
  const problem = answer.ok ? null : await answer.json();
  document.querySelector('[role=status]').textContent =
    problem === null ? '${done}' : [problem.title, ...(problem.issues ?? []).map((issue) => issue.message)].join(': ');
});`;
