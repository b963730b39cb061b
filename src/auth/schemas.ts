import { z } from 'zod';

/** Text that both stores can hold: PostgreSQL refuses NUL, and a lone surrogate is not text. */
const storable = (text: string) => text.isWellFormed() && !text.includes('\0');
const UNSTORABLE = { error: 'Must not contain NUL or unpaired surrogates' };

/** The longest password that is hashed at all, bytes of UTF-8. */
const PASSWORD_BYTES_MAX = 1024;
const fits = (password: string) => Buffer.byteLength(password) <= PASSWORD_BYTES_MAX;
const TOO_LONG = { error: `Must not be longer than ${PASSWORD_BYTES_MAX} bytes` };

/** What the API docs show and send by "Try it out". */
const like = <T>(example: T) => ({ examples: [example] });
const EMAIL = like('ada@example.com');
const PASSWORD = like('correct horse battery');
const ID = like('6b0448a803139207f9634789');
const TIME = like('2030-01-31T12:00:00.000Z');

const email = z.email().refine(storable, UNSTORABLE).meta(EMAIL);
/** Of an account there may be: the old service was less strict. Mail only ever goes to the address that is stored. */
const knownEmail = z.string().refine(storable, UNSTORABLE).meta(EMAIL);
const mailable = knownEmail.refine((text) => text.includes('@'), { error: 'Must be an e-mail address' });
const newPassword = z.string().min(8).refine(fits, TOO_LONG).meta(PASSWORD);
const password = z.string().min(1).refine(fits, TOO_LONG).meta(PASSWORD);
const token = z.string().min(1).refine(storable, UNSTORABLE).meta(like('from the mailed link'));

export const signupBody = z.object({
  email,
  name: z.string().min(1).refine(storable, UNSTORABLE).meta(like('Ada')),
  password: newPassword,
});

/** Loose: the others stay as they are. */
const withTransport = (description: string) =>
  z.looseObject({
    'x-token-transport': z.string().optional().describe(description).meta(like('cookie')),
  });

const TRANSPORT =
  '`body`: the refresh token comes in the body, and no cookie is set. Anything else: by cookie.';
export const transportHeaders = withTransport(TRANSPORT);
export const exchangeHeaders = withTransport(
  `Only where a header brings a token of the old service. ${TRANSPORT}`,
);

export const loginBody = z.object({ email: knownEmail, password });

export const verifyEmailBody = z.object({ token });

export const forgotPasswordBody = z.object({ email: mailable });

export const resetPasswordBody = z
  .object({ token, password: newPassword, confirmPassword: z.string().meta(PASSWORD) })
  .refine((body) => body.password === body.confirmPassword, {
    error: "Passwords don't match",
    path: ['confirmPassword'],
  });

export const changePasswordBody = z.object({ currentPassword: password, newPassword });

/** Without a body the signed-in user's own address is meant. */
export const resendVerificationBody = z.object({ email: mailable }).nullish();

export const deleteAccountBody = z.object({ password });

export const sessionParams = z.object({ id: z.string().min(1).max(64).refine(storable, UNSTORABLE) });

export const userView = z
  .object({
    id: z.string().meta(ID),
    email: z.string().meta(EMAIL),
    name: z.string().meta(like('Ada')),
    isVerified: z.boolean(),
    createdAt: z.iso.datetime().meta(TIME),
  })
  .meta({ id: 'User' });

export const signedIn = z
  .object({
    user: userView,
    accessToken: z.string().describe('A JWT; send it as `Authorization: Bearer` or leave it to the cookie'),
    tokenType: z.literal('Bearer'),
    expiresIn: z.number().int().describe('Life of the access token, seconds').meta(like(900)),
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
    id: z.string().meta(ID),
    createdAt: z.iso.datetime().meta(TIME),
    lastUsedAt: z.iso.datetime().meta(TIME),
    expiresAt: z.iso.datetime().describe('When it ends unless it is refreshed before').meta(TIME),
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
