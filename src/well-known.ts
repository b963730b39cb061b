import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { problemsWithoutBody } from './problem.ts';

/** How long others may cache the keys, seconds; a new key is published before it signs. */
const JWKS_MAX_AGE_S = 300;

const jwks = z.object({
  keys: z.array(z.looseObject({ kid: z.string(), kty: z.string(), alg: z.string(), use: z.string() })),
});

const routes: FastifyPluginAsyncZod = async (app) => {
  app.route({
    method: 'GET',
    url: '/.well-known/jwks.json',
    exposeHeadRoute: true,
    schema: {
      tags: ['keys'],
      summary: 'Public keys that verify access tokens',
      description: 'Who verifies by these keys alone sees a revocation only when the access token expires.',
      response: { 200: jwks, ...problemsWithoutBody() },
    },
    handler: async (_request, reply) => {
      reply.header('Cache-Control', `public, max-age=${JWKS_MAX_AGE_S}`);
      const { keys } = app.accessTokens.jwks();
      return { keys: keys.map((key) => ({ kty: '', ...key })) };
    },
  });
};

export default fp(routes, { name: 'well-known', dependencies: ['tokens', 'http'] });
