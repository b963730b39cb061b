import fp from 'fastify-plugin';
import { createPasswords, type Passwords } from './passwords/passwords.ts';
import { loadPasswordPolicy, type PasswordPolicy } from './passwords/policy.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly passwords: Passwords;
    /** For new passwords; refuses nothing unless switched on. */
    readonly checkPassword: PasswordPolicy;
  }
}

export default fp(
  async (app) => {
    const { bcryptCost: cost, hashThreads: threads, hashQueueMax: queueMax } = app.config;
    const { current } = app.keyring;
    app.decorate('checkPassword', app.config.passwordBlocklist ? await loadPasswordPolicy() : () => null);
    const passwords = createPasswords({
      cost,
      threads,
      queueMax,
      preHashKeys: { current, key: (version) => app.keyring.key('pre-hash', version) },
      onUnusable: (reason) => app.log.warn({ reason }, 'a stored password hash is unusable'),
    });
    app.decorate('passwords', passwords);
    app.addHook('onClose', () => passwords.close());
  },
  { name: 'passwords', dependencies: ['config', 'keys'] },
);
