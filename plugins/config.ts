import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from './config/shape.ts';

export { makeDevelopmentKeys } from './config/keys.ts';
export { ConfigError, loadConfig } from './config/load.ts';
export type { Config } from './config/shape.ts';
export { configVariables } from './config/variables.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly config: Config;
  }
}

async function config(app: FastifyInstance, options: { readonly config: Config }) {
  app.decorate('config', options.config);
}

export default fp(config, { name: 'config' });
