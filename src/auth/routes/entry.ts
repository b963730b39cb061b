import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { parseRefreshToken } from '../../../plugins/tokens/refresh.ts';
import { problems, problemsWithoutBody } from '../../problem.ts';
import { refuseCrossSite } from '../origin.ts';
import { exchangeHeaders, loginBody, noContent, signedIn, signupBody, transportHeaders } from '../schemas.ts';
import { signup } from '../service/accounts.ts';
import { exchangeLegacy } from '../service/legacy.ts';
import { login } from '../service/login.ts';
import { refresh } from '../service/refresh.ts';
import { logout } from '../service/sessions.ts';
import { readBearer } from '../transport.ts';
import { answerSignedIn, callerOf, type RouteDeps, refuseForeignSignIn } from './support.ts';

/** In and out: signup, login, refresh, logout. */
const routes: FastifyPluginAsyncZod<RouteDeps> = async (app, deps) => {
  const { context, transport, origins } = deps;

  app.route({
    method: 'POST',
    url: '/auth/signup',
    schema: {
      tags: ['sign-in'],
      summary: 'Create an account and sign in',
      'x-sets-cookies': true,
      headers: transportHeaders,
      body: signupBody,
      response: {
        201: signedIn,
        ...problems('weak_password', 'cross_site', 'email_taken', 'rate_limited', 'hashing_overloaded'),
      },
    },
    handler: async (request, reply) => {
      refuseForeignSignIn(deps, request);
      const caller = callerOf(app, request, reply);
      const result = await signup(context, request.body, transport.readRefreshCookie(request), caller);
      return reply.code(201).send(answerSignedIn(deps, reply, result, transport.chosen(request)));
    },
  });

  app.route({
    method: 'POST',
    url: '/auth/login',
    schema: {
      tags: ['sign-in'],
      summary: 'Sign in with e-mail and password',
      'x-sets-cookies': true,
      headers: transportHeaders,
      body: loginBody,
      response: {
        200: signedIn,
        ...problems(
          'invalid_credentials',
          'email_not_verified',
          'cross_site',
          'rate_limited',
          'hashing_overloaded',
        ),
      },
    },
    handler: async (request, reply) => {
      refuseForeignSignIn(deps, request);
      const caller = callerOf(app, request, reply);
      const result = await login(context, request.body, transport.readRefreshCookie(request), caller);
      return answerSignedIn(deps, reply, result, transport.chosen(request));
    },
  });

  app.route({
    method: 'GET',
    url: '/auth/refresh',
    exposeHeadRoute: false,
    schema: {
      tags: ['sign-in'],
      security: [{ bearer: [] }, { refreshCookie: [] }],
      summary: 'Rotate the refresh token and get a new access token',
      'x-sets-cookies': true,
      description:
        'The refresh token comes from its cookie or as `Authorization: Bearer`; the successor goes back the same way.',
      headers: exchangeHeaders,
      response: {
        200: signedIn,
        ...problemsWithoutBody('refresh_invalid', 'email_not_verified', 'cross_site', 'rate_limited'),
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(app, request, reply);
      const bearer = readBearer(request);
      const cookie = transport.readRefreshCookie(request);
      if (bearer === null || cookie !== null) refuseCrossSite(request, origins);
      if (bearer !== null && parseRefreshToken(bearer) !== null) {
        return answerSignedIn(deps, reply, await refresh(context, bearer, caller), 'body');
      }
      if (cookie !== null)
        return answerSignedIn(deps, reply, await refresh(context, cookie, caller), 'cookie');
      const legacy = transport.readLegacy(request);
      if (legacy === null) return answerSignedIn(deps, reply, await refresh(context, null, caller), 'cookie');
      if (legacy.by === 'cookie') refuseCrossSite(request, origins);
      const result = await exchangeLegacy(context, legacy.token, caller);
      return answerSignedIn(
        deps,
        reply,
        result,
        legacy.by === 'cookie' ? 'cookie' : transport.chosen(request),
      );
    },
  });

  await app.register(async (scope) => {
    // Logout takes any body or none, of any type: whatever a client sends along must not keep a session alive.
    // A content type that is none would be refused before any parser is asked.
    scope.addHook('onRequest', async (request) => {
      delete request.raw.headers['content-type'];
    });
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => {
      payload.on('end', () => done(null, undefined)).on('error', done);
      payload.resume();
    });
    scope.route({
      method: 'POST',
      url: '/auth/logout',
      schema: {
        tags: ['sign-in'],
        security: [{ bearer: [] }, { refreshCookie: [] }, { cookie: [] }, {}],
        summary: 'End this session',
        'x-sets-cookies': true,
        description:
          'Repeatable. Takes the cookies, or either token as `Authorization: Bearer`; one of the old service also as `/auth/refresh` takes it.',
        response: { 204: noContent, ...problemsWithoutBody('cross_site') },
      },
      handler: async (request, reply) => {
        const cookies = transport.readCookies(request);
        const bearer = readBearer(request);
        // Even without cookies: SameSite keeps them from another site's form, but not from being cleared by the answer to it.
        if (bearer === null || cookies.length > 0) refuseCrossSite(request, origins);
        const legacy = transport.readLegacy(request);
        const tokens = new Set([bearer, legacy?.token, ...cookies].filter((token) => token != null));
        await logout(context, [...tokens], callerOf(app, request, reply));
        transport.clearCookies(reply);
        return reply.code(204).send();
      },
    });
  });
};

export default fp(routes, {
  name: 'auth-entry',
  dependencies: ['config', 'keys', 'metrics', 'error-handler', 'http'],
});
