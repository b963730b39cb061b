import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    now: () => Date;
  }
}

/** The one source of time for records, so that a test can let hours pass. */
export default fp<{ readonly now?: () => Date }>(
  async (app, options) => {
    app.decorate('now', options.now ?? (() => new Date()));
  },
  { name: 'clock' },
);
