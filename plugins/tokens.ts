import jwt from '@fastify/jwt';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { weakness } from './config/strength.ts';
import type { JwtKey } from './keys/jwt-keys.ts';
import { ACCESS_TOKEN_TYPE, type AccessTokens, createAccessTokens, type JwtCodec } from './tokens/access.ts';
import { createLegacyVerifier, type LegacyOptions, type LegacyVerifier } from './tokens/legacy.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly accessTokens: AccessTokens;
    /** For the exchange at refresh only; null when it is off. */
    readonly legacyTokens: LegacyVerifier | null;
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** One for each key: a key is bound to its algorithm, and nothing chooses a key but its `kid`. */
    namespaces: string;
  }
}

const namespaceOf = (key: JwtKey) => `access:${key.kid}`;

/** Registers one instance of @fastify/jwt that signs and verifies with this key alone. */
async function registerKey(app: FastifyInstance, key: JwtKey): Promise<void> {
  const { jwtIssuer, jwtAudience } = app.config;
  await app.register(jwt, {
    namespace: namespaceOf(key),
    decoratorName: 'jwtPayload',
    secret: {
      public: key.publicKeyPem,
      ...(key.privateKeyPem === null ? {} : { private: key.privateKeyPem }),
    },
    sign: {
      algorithm: key.alg,
      kid: key.kid,
      iss: jwtIssuer,
      aud: jwtAudience,
      header: { alg: key.alg, typ: ACCESS_TOKEN_TYPE },
    },
    verify: {
      algorithms: [key.alg],
      allowedIss: jwtIssuer,
      allowedAud: jwtAudience,
      checkTyp: ACCESS_TOKEN_TYPE,
      requiredClaims: ['iss', 'aud', 'sub', 'sid', 'iat', 'exp'],
      // Times are checked against the service's own clock, at every use and not only when the signature is.
      ignoreExpiration: true,
      ignoreNotBefore: true,
    },
  });
}

function codec(app: FastifyInstance, key: JwtKey): JwtCodec {
  const instance = app.jwt[namespaceOf(key)];
  if (instance === undefined) throw new Error('a signing key was not registered');
  return {
    sign: (payload) => instance.sign(payload),
    verify: (token) => instance.verify<Record<string, unknown>>(token),
  };
}

async function tokens(app: FastifyInstance) {
  const { jwtKeys: keys, jwtIssuer: issuer, jwtAudience: audience, accessTokenTtlMs: ttlMs } = app.config;
  for (const key of keys) await registerKey(app, key);
  const options = { keys, issuer, audience, ttlMs, now: app.now };
  app.decorate(
    'accessTokens',
    createAccessTokens(options, (key) => codec(app, key)),
  );
  const { legacyJwt } = app.config;
  app.decorate('legacyTokens', legacyJwt && createLegacyVerifier(legacyJwt));
  if (legacyJwt !== null) warnOfLegacy(app, legacyJwt);
}

/** Neither can be refused: the secret has to be the old service's, and the date passes while all goes well. */
function warnOfLegacy({ log, now }: FastifyInstance, { secret, until }: LegacyOptions): void {
  if (now() >= until) {
    log.warn(
      { until },
      'LEGACY_JWT_UNTIL has passed: tokens of the old service are refused; leave LEGACY_JWT_SECRET out',
    );
  } else if (weakness(secret) !== null) {
    log.warn(
      { until },
      'LEGACY_JWT_SECRET is weak: who guesses it signs in as any user whose password is still the old one; let LEGACY_JWT_UNTIL come soon',
    );
  }
}

export default fp(tokens, { name: 'tokens', dependencies: ['config', 'clock'] });
