/** What the simulated clients ask for, and what they learn from the answers. */
import { type Reply, requestText, setCookie } from './http.ts';

/** One signed-in client: two browsers' worth of state at most. */
export interface Person {
  readonly email: string;
  readonly password: string;
  /** The session cookies as they are to be sent; a refresh changes them. */
  cookies: { access: string; refresh: string };
}

export interface Flow {
  request(person: Person): string;
  /** Takes what later requests need from a good answer. */
  learn(person: Person, reply: Reply): void;
}

const ACCESS = '__Host-access_token';
const REFRESH = '__Secure-refresh_token';
const PEER = '__Secure-better-auth.session_token';

const learnNothing = (): void => {};

const learnService = (person: Person, reply: Reply): void => {
  person.cookies = { access: setCookie(reply, ACCESS), refresh: setCookie(reply, REFRESH) };
};

/** Every answer names the person's e-mail: a good one is of status 200 and does so. */
export const flows = {
  signup: {
    request: ({ email, password }) =>
      requestText('POST', '/auth/signup', {}, { email, name: 'Bench Example', password }),
    learn: learnService,
  },
  /** A browser that is not signed in yet, so each login opens one more session. */
  login: {
    request: ({ email, password }) => requestText('POST', '/auth/login', {}, { email, password }),
    learn: learnNothing,
  },
  me: {
    request: ({ cookies }) => requestText('GET', '/auth/me', { Cookie: `${ACCESS}=${cookies.access}` }),
    learn: learnNothing,
  },
  refresh: {
    request: ({ cookies }) =>
      requestText('GET', '/auth/refresh', { Cookie: `${REFRESH}=${cookies.refresh}` }),
    learn: learnService,
  },
  peerSignup: {
    request: ({ email, password }) =>
      requestText(
        'POST',
        '/api/auth/sign-up/email',
        { Origin: 'https://auth.bench.example' },
        { email, name: 'Bench Example', password },
      ),
    learn: (person, reply) => {
      person.cookies = { access: setCookie(reply, PEER), refresh: '' };
    },
  },
  peerSession: {
    request: ({ cookies }) =>
      requestText('GET', '/api/auth/get-session', { Cookie: `${PEER}=${cookies.access}` }),
    learn: learnNothing,
  },
} satisfies Record<string, Flow>;

export type FlowName = keyof typeof flows;

export function isGood(person: Person, reply: Reply): boolean {
  return (reply.status === 200 || reply.status === 201) && reply.body.includes(person.email);
}
