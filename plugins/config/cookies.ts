/** The names of the two cookies; over TLS with the prefixes that keep others from setting them. */
export const cookieNames = (secure: boolean) =>
  secure
    ? ({ access: '__Host-access_token', refresh: '__Secure-refresh_token' } as const)
    : ({ access: 'access_token', refresh: 'refresh_token' } as const);
