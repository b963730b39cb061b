import { z } from 'zod';

/** Text that both stores can hold: PostgreSQL refuses NUL, and a lone surrogate is not text. */
const storable = (text: string) => text.isWellFormed() && !text.includes('\0');
const UNSTORABLE = { error: 'Must not contain NUL or unpaired surrogates' };

/** The longest password that is hashed at all, bytes of UTF-8. */
const PASSWORD_BYTES_MAX = 1024;
const fits = (password: string) => Buffer.byteLength(password) <= PASSWORD_BYTES_MAX;
const TOO_LONG = { error: `Must not be longer than ${PASSWORD_BYTES_MAX} bytes` };

const email = z.email().refine(storable, UNSTORABLE);
const newPassword = z.string().min(8).refine(fits, TOO_LONG);
const password = z.string().min(1).refine(fits, TOO_LONG);
const token = z.string().min(1).refine(storable, UNSTORABLE);

export const signupBody = z.object({
  email,
  name: z.string().min(1).refine(storable, UNSTORABLE),
  password: newPassword,
});

export const loginBody = z.object({ email: z.string().refine(storable, UNSTORABLE), password });

export const verifyEmailBody = z.object({ token });

export const forgotPasswordBody = z.object({ email });

export const resetPasswordBody = z
  .object({ token, password: newPassword, confirmPassword: z.string() })
  .refine((body) => body.password === body.confirmPassword, {
    error: "Passwords don't match",
    path: ['confirmPassword'],
  });

export const changePasswordBody = z.object({ currentPassword: password, newPassword });

/** Without a body the signed-in user's own address is meant. */
export const resendVerificationBody = z.object({ email }).nullish();

export const deleteAccountBody = z.object({ password });

export const sessionParams = z.object({ id: z.string().min(1).max(64).refine(storable, UNSTORABLE) });

export const userView = z
  .object({
    id: z.string(),
    email: z.string(),
    name: z.string(),
    isVerified: z.boolean(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'User' });

export const signedIn = z
  .object({
    user: userView,
    accessToken: z.string().describe('A JWT; send it as `Authorization: Bearer` or leave it to the cookie'),
    tokenType: z.literal('Bearer'),
    expiresIn: z.number().int().describe('Life of the access token, seconds'),
    refreshToken: z
      .string()
      .optional()
      .describe(
        'Only with `X-Token-Transport: body`; present it as `Authorization: Bearer` to refresh and logout',
      ),
  })
  .meta({ id: 'SignedIn' });

export const sessionView = z
  .object({
    id: z.string(),
    createdAt: z.iso.datetime(),
    lastUsedAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().describe('When it ends unless it is refreshed before'),
    userAgent: z.string().nullable(),
    current: z.boolean(),
  })
  .meta({ id: 'Session' });

export const sessionList = z.object({ sessions: z.array(sessionView) });
export const userAnswer = z.object({ user: userView });
export const accepted = z.object({ accepted: z.literal(true) });
export const verified = z.object({ isVerified: z.literal(true) });
export const passwordChanged = z.object({ passwordChanged: z.literal(true) });
export const noContent = z.undefined().describe('Done');
