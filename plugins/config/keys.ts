import { generateKeyPairSync, randomBytes } from 'node:crypto';

/** Fresh random keys as the environment would hold them: good for development, lost unless kept. */
export function makeDevelopmentKeys(): { readonly AUTH_SECRETS: string; readonly JWT_KEYS: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    AUTH_SECRETS: `dev:${randomBytes(32).toString('base64url')}`,
    JWT_KEYS: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}
