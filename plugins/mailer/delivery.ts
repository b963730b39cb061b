/** Sends mails with retries: a bounded number at once, each until it is accepted, refused for good, or overdue. */
import { once } from 'node:events';
import type { MailContent } from './templates.ts';

export interface Mail extends MailContent {
  /** One address. */
  readonly to: string;
}

/** Hands one mail over; rejects when it was not accepted, at the latest when the signal aborts. */
export type Send = (mail: Mail, signal: AbortSignal) => Promise<void>;

/** The mail was not accepted. Names neither receiver nor server: replies of servers repeat the address. */
export class MailFailed extends Error {
  override readonly name = 'MailFailed';
  /** `refused`: this mail, for good. `denied`: any mail of ours for now, such as a password that is no longer right. */
  readonly reason: 'refused' | 'denied' | 'unreachable' | 'queue-full' | 'closed';
  constructor(reason: MailFailed['reason'], detail: string) {
    super(`mail not sent: ${reason} (${detail})`);
    this.reason = reason;
  }
}

export interface DeliveryOptions {
  readonly send: Send;
  /** Mails under way at once; more are refused. */
  readonly pendingMax: number;
  readonly attemptTimeoutMs: number;
  /** Before the second attempt; doubles, with jitter, up to `retryMaxMs`. */
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  /** Counts what became of mails. */
  readonly onResult: (result: 'sent' | 'failed' | 'retried' | 'refused') => void;
}

export interface Delivery {
  /** Resolves when accepted. Throws `MailFailed` after its retries, which end `giveUpAfterMs` after the call. */
  deliver(mail: Mail, giveUpAfterMs: number): Promise<void>;
  readonly pending: () => number;
  /**
   * Takes mails until nobody is left to send any, when `senders` resolves; each gets one last attempt. After `drainMs` those
   * left are aborted.
   */
  close(drainMs: number, senders?: Promise<void>): Promise<void>;
}

export function createDelivery(options: DeliveryOptions): Delivery {
  const { send, pendingMax, attemptTimeoutMs, onResult } = options;
  const underWay = new Set<Promise<void>>();
  const closing = new AbortController();
  const abandoned = new AbortController();

  async function attemptUntilDone(mail: Mail, giveUpAfterMs: number): Promise<void> {
    const deadlineMs = performance.now() + giveUpAfterMs;
    for (let attempt = 1; ; attempt += 1) {
      const last = closing.signal.aborted;
      const timeoutMs = Math.max(1, Math.min(attemptTimeoutMs, Math.ceil(deadlineMs - performance.now())));
      try {
        await send(mail, AbortSignal.any([AbortSignal.timeout(timeoutMs), abandoned.signal]));
        onResult('sent');
        return;
      } catch (error) {
        const pauseMs = pauseBefore(attempt, options);
        const overdue = performance.now() + pauseMs >= deadlineMs;
        const refused = isFinal(error) && isAboutTheMail(error);
        if (refused || last || overdue || abandoned.signal.aborted) {
          onResult('failed');
          const reason = refused ? 'refused' : isFinal(error) ? 'denied' : 'unreachable';
          throw new MailFailed(reason, `attempt ${attempt}, ${codeOf(error)}`);
        }
        onResult('retried');
        await pause(pauseMs, closing.signal);
      }
    }
  }

  return {
    async deliver(mail, giveUpAfterMs) {
      if (abandoned.signal.aborted) throw new MailFailed('closed', 'the service is stopping');
      if (underWay.size >= pendingMax) {
        onResult('refused');
        throw new MailFailed('queue-full', `${pendingMax} under way`);
      }
      const task = attemptUntilDone(mail, giveUpAfterMs);
      const settled = task.catch(() => {});
      underWay.add(settled);
      await task.finally(() => underWay.delete(settled));
    },
    pending: () => underWay.size,
    async close(drainMs, senders = Promise.resolve()) {
      closing.abort();
      const overdue = once(abandoned.signal, 'abort');
      const timer = setTimeout(() => abandoned.abort(), drainMs);
      await Promise.race([senders, overdue]);
      while (underWay.size > 0) await Promise.all(underWay);
      clearTimeout(timer);
      abandoned.abort();
    },
  };
}

/** A server's 5xx says that trying the same again is useless: for the mail it is about, or until somebody mends our access. */
function isFinal(error: unknown): boolean {
  const { responseCode, code } = error as { readonly responseCode?: unknown; readonly code?: unknown };
  return code === 'EENVELOPE' && responseCode === undefined
    ? true
    : typeof responseCode === 'number' && responseCode >= 500 && responseCode < 600;
}

/** Whether the receiver or the content was refused, and not the sender or the connection. */
function isAboutTheMail(error: unknown): boolean {
  const { responseCode, command, code } = error as Readonly<Record<string, unknown>>;
  return responseCode === undefined || command === 'RCPT TO' || code === 'EMESSAGE';
}

/** What the error may say: the number of the reply or the code of the socket. */
function codeOf(error: unknown): string {
  const { responseCode, code } = error as { readonly responseCode?: unknown; readonly code?: unknown };
  if (typeof responseCode === 'number') return `SMTP ${responseCode}`;
  return typeof code === 'string' ? code : 'no code';
}

/** Half fixed, half random, so that a crowd of retries spreads out. */
function pauseBefore(attempt: number, { retryBaseMs, retryMaxMs }: DeliveryOptions): number {
  return Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
}

/** Waits, but not past the signal. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
