import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { problems } from '../../problem.ts';
import {
  accepted,
  changePasswordBody,
  forgotPasswordBody,
  passwordChanged,
  resetPasswordBody,
} from '../schemas.ts';
import { changePassword, forgotPassword, resetPassword } from '../service/passwords.ts';
import { bySession, callerOf, type RouteDeps, requireSession } from './support.ts';

/** Passwords: forgotten, reset, changed. */
const routes: FastifyPluginAsyncZod<RouteDeps> = async (app, deps) => {
  const { context } = deps;

  app.route({
    method: 'POST',
    url: '/auth/forgot-password',
    schema: {
      tags: ['password'],
      summary: 'Mail a reset link',
      description: 'The answer is the same, in the same time, whether or not the e-mail has an account.',
      body: forgotPasswordBody,
      response: { 202: accepted, ...problems('rate_limited') },
    },
    handler: async (request, reply) => {
      await forgotPassword(context, request.body.email, callerOf(app, request, reply));
      return reply.code(202).send({ accepted: true });
    },
  });

  app.route({
    method: 'POST',
    url: '/auth/reset-password',
    schema: {
      tags: ['password'],
      summary: 'Set a new password with the mailed token',
      description: 'Ends every session of the user and does not sign in.',
      body: resetPasswordBody,
      response: {
        200: passwordChanged,
        ...problems(
          'token_invalid',
          'weak_password',
          'user_gone',
          'token_expired',
          'rate_limited',
          'hashing_overloaded',
        ),
      },
    },
    handler: async (request, reply) => {
      await resetPassword(context, request.body, callerOf(app, request, reply));
      return { passwordChanged: true as const };
    },
  });

  app.route({
    method: 'POST',
    url: '/auth/change-password',
    schema: {
      tags: ['password'],
      security: bySession,
      summary: 'Change the password; every other session ends',
      body: changePasswordBody,
      response: {
        200: passwordChanged,
        ...problems(
          'weak_password',
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
      await changePassword(context, { ...who, ...request.body }, callerOf(app, request, reply));
      return { passwordChanged: true as const };
    },
  });
};

export default fp(routes, {
  name: 'auth-password',
  dependencies: ['config', 'keys', 'metrics', 'error-handler', 'http'],
});
