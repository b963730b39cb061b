import type { Repository } from '../port.ts';
import { createPurge } from './purge.ts';
import { createSessions } from './sessions.ts';
import { createTokens } from './tokens.ts';
import { createUsers } from './users.ts';
import type { Scope } from './writes.ts';

export function createRepository(scope: Scope): Repository {
  return { ...createUsers(scope), ...createTokens(scope), ...createSessions(scope), ...createPurge(scope) };
}
