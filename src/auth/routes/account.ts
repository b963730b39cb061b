import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ApiError } from '../../errors.ts';
import { problems, problemsWithoutBody } from '../../problem.ts';
import {
  accepted,
  deleteAccountBody,
  noContent,
  resendVerificationBody,
  sessionList,
  sessionParams,
  userAnswer,
  verified,
  verifyEmailBody,
} from '../schemas.ts';
import { deleteAccount, resendVerification, verifyEmail } from '../service/accounts.ts';
import { endOwnSession } from '../service/sessions.ts';
import { viewSession, viewUser } from '../views.ts';
import { bySession, callerOf, type RouteDeps, requireSession } from './support.ts';

/** The user's own account: e-mail verification, profile, sessions, deletion. */
const routes: FastifyPluginAsyncZod<RouteDeps> = async (app, deps) => {
  const { context, transport } = deps;

  app.route({
    method: 'POST',
    url: '/auth/verify-email',
    schema: {
      tags: ['account'],
      summary: 'Verify an e-mail with the mailed token',
      body: verifyEmailBody,
      response: { 200: verified, ...problems('token_invalid', 'user_gone', 'token_expired', 'rate_limited') },
    },
    handler: async (request, reply) => {
      await verifyEmail(context, request.body.token, callerOf(app, request, reply));
      return { isVerified: true as const };
    },
  });

  app.route({
    method: 'POST',
    url: '/auth/resend-verification',
    schema: {
      tags: ['account'],
      security: [...bySession, {}],
      summary: 'Mail one more verification link',
      description:
        'To the e-mail in the body, or without one to the signed-in user. The answer never tells more.',
      body: resendVerificationBody,
      response: { 202: accepted, ...problems('unauthenticated', 'cross_site', 'rate_limited') },
    },
    handler: async (request, reply) => {
      const email = request.body?.email ?? (await requireSession(deps, request)).user.email;
      if (email === null) throw new ApiError('unauthenticated');
      await resendVerification(context, email, callerOf(app, request, reply));
      return reply.code(202).send({ accepted: true });
    },
  });

  app.route({
    method: 'GET',
    url: '/auth/me',
    schema: {
      tags: ['account'],
      security: bySession,
      summary: 'The signed-in user',
      response: { 200: userAnswer, ...problemsWithoutBody('unauthenticated', 'cross_site') },
    },
    handler: async (request) => ({ user: viewUser((await requireSession(deps, request)).user) }),
  });

  app.route({
    method: 'DELETE',
    url: '/auth/me',
    schema: {
      tags: ['account'],
      security: bySession,
      summary: 'Delete the account and erase its personal data',
      'x-sets-cookies': true,
      body: deleteAccountBody,
      response: {
        204: noContent,
        ...problems(
          'unauthenticated',
          'invalid_credentials',
          'cross_site',
          'changed_meanwhile',
          'rate_limited',
          'hashing_overloaded',
        ),
      },
    },
    handler: async (request, reply) => {
      const who = await requireSession(deps, request);
      await deleteAccount(
        context,
        { ...who, password: request.body.password },
        callerOf(app, request, reply),
      );
      transport.clearCookies(reply);
      return reply.code(204).send();
    },
  });

  app.route({
    method: 'GET',
    url: '/auth/sessions',
    schema: {
      tags: ['account'],
      security: bySession,
      summary: 'Where the user is signed in, the last used first',
      response: { 200: sessionList, ...problemsWithoutBody('unauthenticated', 'cross_site') },
    },
    handler: async (request) => {
      const { user, session } = await requireSession(deps, request);
      const sessions = await context.repository.listSessions({ userId: user.id, now: context.now() });
      return { sessions: sessions.map((each) => viewSession(each, session.id)) };
    },
  });

  app.route({
    method: 'DELETE',
    url: '/auth/sessions/:id',
    schema: {
      tags: ['account'],
      security: bySession,
      summary: 'End one session of the user',
      'x-sets-cookies': true,
      params: sessionParams,
      response: { 204: noContent, ...problems('unauthenticated', 'cross_site', 'session_not_found') },
    },
    handler: async (request, reply) => {
      const { user, session } = await requireSession(deps, request);
      const sessionId = request.params.id;
      await endOwnSession(context, { user, sessionId }, callerOf(app, request, reply));
      if (sessionId === session.id) transport.clearCookies(reply);
      return reply.code(204).send();
    },
  });
};

export default fp(routes, {
  name: 'auth-account',
  dependencies: ['config', 'keys', 'metrics', 'error-handler', 'http'],
});
