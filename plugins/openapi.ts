import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import fp from 'fastify-plugin';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { type Answers, nameHeaders } from './openapi/headers.ts';

declare module 'fastify' {
  interface FastifySchema {
    /** For the document alone: a success sets or clears cookies. */
    'x-sets-cookies'?: true;
  }
}

/** The pages bring all they need; their own default would let styles in from anywhere and break plain http off loopback. */
const CONTENT_SECURITY_POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
};

interface Operation extends Answers {
  readonly requestBody?: {
    required: boolean;
    readonly content: Readonly<
      Record<string, { readonly schema: { readonly anyOf?: readonly { readonly type?: string }[] } }>
    >;
  };
}

/** What the generator cannot know: a body that may be null may be left out, and answers have headers. */
function completed<T extends { readonly paths?: object }>(document: T): T {
  const operations = Object.values(document.paths ?? {}).flatMap((verbs: Record<string, Operation>) =>
    Object.values(verbs),
  );
  for (const operation of operations) {
    const { requestBody } = operation;
    nameHeaders(operation);
    const schemas = Object.values(requestBody?.content ?? {}).map(({ schema }) => schema);
    const nullable = schemas.some(({ anyOf }) => anyOf?.some(({ type }) => type === 'null'));
    if (requestBody !== undefined && nullable) requestBody.required = false;
  }
  return document;
}

/** The OpenAPI 3.1 document at /docs/json, and pages to read it at /docs. */
export default fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: `${app.config.serviceName} service`,
          version: '0.1.0',
          description:
            'Sign up, sign in, stay signed in. Every error is `application/problem+json` with a stable `code`.',
        },
        servers: [{ url: app.config.publicUrl }],
        // The order of the sections on the page.
        tags: ['sign-in', 'password', 'account', 'keys', 'operations', 'development'].map((name) => ({
          name,
        })),
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer' },
            cookie: {
              type: 'apiKey',
              in: 'cookie',
              name: app.config.secureCookies ? '__Host-access_token' : 'access_token',
            },
            refreshCookie: {
              type: 'apiKey',
              in: 'cookie',
              name: app.config.secureCookies ? '__Secure-refresh_token' : 'refresh_token',
            },
          },
        },
      },
      transform: jsonSchemaTransform,
      transformObject: (given) => completed(jsonSchemaTransformObject(given)),
    });
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      theme: { title: `${app.config.serviceName} API` },
      // Without the bar that loads any other document.
      uiConfig: { layout: 'BaseLayout' },
      staticCSP: CONTENT_SECURITY_POLICY,
    });
  },
  { name: 'openapi', dependencies: ['config'] },
);
