/**
 * What the mails say, as plain text and as HTML from the same words. None repeats a name: whoever signs up with a foreign
 * e-mail chooses that text, and it would carry a message or a link to somebody who never asked.
 */

export interface MailContent {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface Wording {
  readonly serviceName: string;
}

export interface LinkWording extends Wording {
  readonly link: string;
  readonly ttlMs: number;
}

export function verificationMail(wording: LinkWording): MailContent {
  return compose(wording, `Verify your e-mail for ${wording.serviceName}`, [
    `please confirm that this is your e-mail address. The link works once, for ${spell(wording.ttlMs)}:`,
    { label: 'Verify e-mail', href: wording.link },
    'If you did not sign up, ignore this mail: nothing will happen.',
  ]);
}

export function resetMail(wording: LinkWording): MailContent {
  return compose(wording, `Reset your password for ${wording.serviceName}`, [
    `somebody asked for a new password for your account. The link works once, for ${spell(wording.ttlMs)}:`,
    { label: 'Choose a new password', href: wording.link },
    'If it was not you, ignore this mail: your password stays as it is.',
  ]);
}

export function passwordChangedMail(wording: Wording): MailContent {
  return compose(wording, `Your password for ${wording.serviceName} was changed`, [
    'the password of your account was changed, and all other sessions were ended.',
    'If it was not you, reset your password at once: whoever did it knew your password or read your mail.',
  ]);
}

/** The token stands in the fragment, which browsers send to no server, so no log keeps it. */
export function tokenLink(appUrl: string, page: 'verify-email' | 'reset-password', token: string): string {
  return `${appUrl}/${page}#token=${encodeURIComponent(token)}`;
}

type Part = string | { readonly label: string; readonly href: string };

function compose({ serviceName }: Wording, subject: string, parts: readonly Part[]): MailContent {
  const greeting = 'Hello,';
  const lines = parts.map((part) => (typeof part === 'string' ? part : part.href));
  const paragraphs = parts.map((part) =>
    typeof part === 'string'
      ? `<p>${escapeHtml(part)}</p>`
      : `<p><a href="${escapeHtml(part.href)}">${escapeHtml(part.label)}</a></p>`,
  );
  return {
    subject,
    text: [greeting, ...lines, `-- \n${serviceName}`].join('\n\n').concat('\n'),
    html: [
      '<!doctype html><html lang="en"><meta charset="utf-8"><body>',
      `<p>${greeting}</p>`,
      ...paragraphs,
      `<p>${escapeHtml(serviceName)}</p>`,
      '</body></html>',
    ].join('\n'),
  };
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}

/** Whole hours or minutes, whichever says it exactly. */
function spell(ms: number): string {
  const [count, unit] = ms % 3_600_000 === 0 ? [ms / 3_600_000, 'hour'] : [Math.round(ms / 60_000), 'minute'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}
