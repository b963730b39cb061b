import { ApiError } from '../../errors.ts';
import type { AuthContext } from './context.ts';

/** With the block list switched on: refuses common passwords and those made of what is known about the user. */
export function checkPolicy(
  context: AuthContext,
  password: string,
  user: { readonly name: string; readonly email: string | null },
): void {
  const { serviceName } = context.config;
  const refusal = context.checkPassword(password, { name: user.name, email: user.email ?? '', serviceName });
  if (refusal !== null) throw new ApiError('weak_password');
}
