import type { Repository } from '../../../db/port.ts';
import type { Background } from '../../../plugins/background.ts';
import type { Config } from '../../../plugins/config.ts';
import type { Keyring } from '../../../plugins/keys/keyring.ts';
import type { Limits } from '../../../plugins/limits.ts';
import type { Audit } from '../../../plugins/logger/audit.ts';
import type { Mailer } from '../../../plugins/mailer.ts';
import type { Passwords } from '../../../plugins/passwords/passwords.ts';
import type { PasswordPolicy } from '../../../plugins/passwords/policy.ts';
import type { AccessTokens } from '../../../plugins/tokens/access.ts';
import type { LegacyVerifier } from '../../../plugins/tokens/legacy.ts';
import type { Outbox } from './outbox.ts';
import type { Unanswered } from './unanswered.ts';

/** What the rules of this folder act through. */
export interface AuthContext {
  readonly config: Config;
  readonly repository: Repository;
  readonly passwords: Passwords;
  readonly checkPassword: PasswordPolicy;
  readonly keyring: Keyring;
  readonly accessTokens: AccessTokens;
  readonly legacyTokens: LegacyVerifier | null;
  readonly limits: Limits;
  readonly mailer: Mailer;
  readonly outbox: Outbox;
  readonly unanswered: Unanswered;
  readonly background: Background;
  readonly now: () => Date;
}

/** Who asks, and where its events are noted. */
export interface Caller {
  readonly address: string;
  /** The part of the address that its owner cannot choose. */
  readonly network: string;
  readonly userAgent: string | null;
  /** Whether nobody waits for the answer any more. */
  readonly hasGone: () => boolean;
  readonly audit: Audit;
  /** Adds headers to the answer, whatever it will be. */
  readonly setHeaders: (headers: Readonly<Record<string, string>>) => void;
}
