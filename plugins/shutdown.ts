import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** From `begin` on the service calls itself not ready, while it still serves. */
    readonly shutdown: { begin(): void; readonly begun: boolean };
  }
}

export default fp(
  async (app) => {
    let begun = false;
    app.decorate('shutdown', {
      begin() {
        begun = true;
      },
      get begun() {
        return begun;
      },
    });
    // A connection whose answer is under way when the listener closes is not idle then, and would hold the process up
    // for as long as it is kept alive afterwards.
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (begun) reply.header('Connection', 'close');
      done(null, payload);
    });
  },
  { name: 'shutdown' },
);
