import { checkPassword } from '../../../plugins/passwords/policy.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext } from './context.ts';

/** With the block list switched on: refuses common passwords and those made of what is known about the user. */
export function checkPolicy(
  context: AuthContext,
  password: string,
  user: { readonly name: string; readonly email: string | null },
): void {
  if (!context.config.passwordBlocklist) return;
  const { serviceName } = context.config;
  if (checkPassword(password, { name: user.name, email: user.email ?? '', serviceName }) === null) return;
  throw new ApiError('weak_password');
}
