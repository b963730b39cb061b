import { createHash } from 'node:crypto';
import type { KeptMail } from './inbox.ts';
import { escapeHtml } from './templates.ts';

export interface Page {
  readonly html: string;
  /** Allows the page's own style and script, by hash, and nothing else. */
  readonly contentSecurityPolicy: string;
}

const STYLE = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2.5rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.1rem;margin:0}
header{display:flex;justify-content:space-between;align-items:center}
article{border:1px solid #8886;border-radius:.5rem;padding:1rem 1.25rem;margin:1rem 0}
article p{margin:.2rem 0 .8rem;opacity:.75;font-size:.9rem}
pre{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
input,button{font:inherit;padding:.5rem .8rem;border:1px solid #8888;border-radius:.4rem}
button{cursor:pointer}form button{background:#1a6dd0;border-color:#1a6dd0;color:#fff}button:disabled{opacity:.5}
label{display:block;margin:0 0 1rem}input{display:block;width:100%;max-width:24rem;box-sizing:border-box}`;

const sourceHash = (source: string) => `'sha256-${createHash('sha256').update(source).digest('base64')}'`;

function page(title: string, body: string, script: string, beside = ''): Page {
  return {
    html: [
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>`,
      '<meta name="viewport" content="width=device-width">',
      `<style>${STYLE}</style></head><body><header><h1>${escapeHtml(title)}</h1>${beside}</header>`,
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
  const body = shown.length === 0 ? '<p>No mails yet.</p>' : shown.join('\n');
  const empty = shown.length === 0 ? '' : '<button>Empty</button>';
  return page('Inbox', body, EMPTY_SCRIPT, empty);
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
    '<form><button>Verify</button></form><p role="status"></p>',
    onSubmit('/auth/verify-email', '{ token }', 'Your e-mail is verified.'),
  );
}

export function resetPage(): Page {
  return page(
    'Choose a new password',
    [
      '<form>',
      '<label>New password <input id="password" type="password" autocomplete="new-password"></label>',
      '<label>Again <input id="confirm" type="password" autocomplete="new-password"></label>',
      '<button>Change password</button>',
      '</form><p role="status"></p>',
    ].join('\n'),
    onSubmit(
      '/auth/reset-password',
      '{ token, password: value("password"), confirmPassword: value("confirm") }',
      'Your password was changed.',
    ),
  );
}

/** `body` is an expression; texts are set as text, never as HTML. */
const onSubmit = (
  url: string,
  body: string,
  done: string,
) => `const value = (id) => document.getElementById(id).value;
const button = document.querySelector('button');
const say = (text) => { document.querySelector('[role=status]').textContent = text; };
const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
if (token === '') say('This page needs the whole link of the mail.');
document.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  try {
    const answer = await fetch('${url}', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(${body}),
    });
    if (answer.ok) return say('${done}');
    const problem = await answer.json();
    say((problem.issues ?? []).map((issue) => issue.message).join('. ') || problem.title);
  } catch {
    say('The service does not answer.');
  }
  button.disabled = false;
});`;
