/** What the simulated clients ask for, and what they learn from the answers. */
import { type Reply, requestText, setCookie } from './http.ts';

/** One signed-in client: two browsers' worth of state at most. */
export interface Person {
  readonly email: string;
  readonly password: string;
  /** The session cookies as they are to be sent; a refresh changes them. */
  cookies: { access: string; refresh: string };
  /** Refresh tokens of further sessions, to be logged out. */
  readonly spare: string[];
}

export interface Flow {
  request(person: Person): string;
  /** Takes what later requests need from a good answer. */
  learn(person: Person, reply: Reply): void;
  /** Without it: status 200 or 201, and the person's e-mail is in the body. */
  readonly isGood?: (reply: Reply) => boolean;
}

const ACCESS = '__Host-access_token';
const REFRESH = '__Secure-refresh_token';
const PEER = '__Secure-better-auth.session_token';

const learnNothing = (): void => {};

const learnService = (person: Person, reply: Reply): void => {
  person.cookies = { access: setCookie(reply, ACCESS), refresh: setCookie(reply, REFRESH) };
};

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
  /** Another browser of the same person, to be logged out later. */
  spare: {
    request: ({ email, password }) => requestText('POST', '/auth/login', {}, { email, password }),
    learn: (person, reply) => void person.spare.push(setCookie(reply, REFRESH)),
  },
  list: {
    request: ({ cookies }) => requestText('GET', '/auth/sessions', { Cookie: `${ACCESS}=${cookies.access}` }),
    learn: learnNothing,
    isGood: ({ status, body }) => status === 200 && body.includes('"sessions"'),
  },
  /** Ends a spare session. */
  logout: {
    request: ({ spare }) => requestText('POST', '/auth/logout', { Authorization: `Bearer ${spare.pop()}` }),
    learn: learnNothing,
    isGood: ({ status }) => status === 204,
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

export function isGood(flow: Flow, person: Person, reply: Reply): boolean {
  if (flow.isGood !== undefined) return flow.isGood(reply);
  return (reply.status === 200 || reply.status === 201) && reply.body.includes(person.email);
}
