/** What a hand-written document of an old service is, and what is to become of it. */
import type { Doc } from '../../../db/canonical.ts';

export type Cell = string | number | boolean | null;

export interface LegacyCase {
  readonly what: string;
  /** Canonical extended JSON. */
  readonly document: Doc;
  /** Fields that extended JSON cannot say, such as an embedded document with a field named `$numberLong`. */
  readonly literal?: Doc;
  /** The row it becomes, every column in the order of `COLUMNS`; times in UTC. */
  readonly row?: readonly Cell[];
  /** What is counted: `email: white-space`. */
  readonly cleaned?: readonly string[];
  /** Why it is bad. */
  readonly bad?: readonly string[];
  /** Why it is neither moved nor bad. */
  readonly left?: 'expired' | 'dangling';
}

/** On the way from the server these four bytes become half a surrogate and an FF, which a server may refuse to store. */
export const BROKEN = '#~~#';
/** And a field of this name gets a type that BSON does not have. */
export const TYPELESS = 'typeless';

/** Written once more: what the code's own lists get wrong must not be wrong here as well. */
export const COLUMNS = {
  users:
    'id email email_key name password_hash is_verified verified_with session_generation reset_generation created_at updated_at deleted_at epoch version pending_at',
  verification_tokens:
    'id user_id token_hash nonce created_at expires_at mail_due_at epoch version pending_at',
  password_reset_tokens:
    'id user_id token_hash nonce created_at expires_at mail_due_at epoch version pending_at generation',
  sessions:
    'id user_id generation token_hash previous_token_hash rotation key_id created_at rotated_at idle_expires_at expires_at revoked_at revoked_reason user_agent epoch version pending_at',
} as const;
