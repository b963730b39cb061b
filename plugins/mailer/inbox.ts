import { randomUUID } from 'node:crypto';
import type { Mail } from './delivery.ts';

export interface KeptMail extends Mail {
  readonly id: string;
  readonly at: string;
}

/** Mails of development, kept in this process instead of being sent. */
export interface Inbox {
  add(mail: Mail): void;
  /** Newest first; all, or those to this address in any letter case. */
  list(to?: string): readonly KeptMail[];
  clear(): void;
}

/** Keeps the newest `max` mails. */
export function createInbox(max = 500): Inbox {
  const kept: KeptMail[] = [];
  return {
    add(mail) {
      kept.unshift({ id: randomUUID(), at: new Date().toISOString(), ...mail });
      kept.length = Math.min(kept.length, max);
    },
    list: (to) => kept.filter((mail) => to === undefined || mail.to.toLowerCase() === to.toLowerCase()),
    clear() {
      kept.length = 0;
    },
  };
}
