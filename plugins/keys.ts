import fp from 'fastify-plugin';
import { createKeyring, type Keyring } from './keys/keyring.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Every keyed function of the service, by version and purpose. */
    readonly keyring: Keyring;
  }
}

export default fp(
  async (app) => {
    app.decorate('keyring', createKeyring(app.config.authSecrets));
  },
  { name: 'keys', dependencies: ['config'] },
);
