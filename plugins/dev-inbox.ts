import type { FastifyInstance, FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { inboxPage, type Page, resetPage, verifyPage } from './mailer/dev-pages.ts';
import type { Inbox } from './mailer/inbox.ts';

const mail = z.object({
  id: z.string(),
  at: z.string().describe('ISO 8601, UTC'),
  to: z.string(),
  subject: z.string(),
  text: z.string(),
  html: z.string(),
});
const query = z.object({ to: z.string().optional().describe('Only mails to this address') });
const html = { 'text/html': { schema: z.string() } };
const tags = ['development'];

function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  return reply
    .headers({ 'Content-Security-Policy': page.contentSecurityPolicy, 'Cache-Control': 'no-store' })
    .type('text/html; charset=utf-8')
    .send(page.html);
}

function registerInbox(app: FastifyInstance, inbox: Inbox): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  routes.route({
    method: 'GET',
    url: '/dev/inbox',
    schema: {
      tags,
      summary: 'Mails that were not sent, newest first: a page, or JSON for `Accept: application/json`',
      querystring: query,
      response: {
        200: { description: 'Mails', content: { 'application/json': { schema: z.array(mail) }, ...html } },
      },
    },
    handler: async (request, reply) => {
      const mails = inbox.list(request.query.to);
      if (!/\bapplication\/json\b/i.test(request.headers.accept ?? '')) {
        return sendPage(reply, inboxPage(mails, app.config.appUrl));
      }
      return reply.header('Cache-Control', 'no-store').send([...mails]);
    },
  });
  routes.route({
    method: 'DELETE',
    url: '/dev/inbox',
    schema: { tags, summary: 'Forgets all mails', response: { 204: z.null().describe('Empty') } },
    handler: async (_request, reply) => {
      inbox.clear();
      return reply.code(204).send(null);
    },
  });
}

/** Where links in mails lead when no app serves APP_URL. */
function registerPages(app: FastifyInstance): void {
  for (const [url, page] of [
    ['/verify-email', verifyPage()],
    ['/reset-password', resetPage()],
  ] as const) {
    app.withTypeProvider<ZodTypeProvider>().route({
      method: 'GET',
      url,
      schema: {
        tags,
        summary: 'A page for the link in a mail; it acts on a click only',
        response: { 200: { description: 'The page', content: html } },
      },
      handler: async (_request, reply) => sendPage(reply, page),
    });
  }
}

/** Development only: the inbox, and pages for the links in its mails. */
export default fp(
  async (app) => {
    const { production, appUrl, publicUrl } = app.config;
    if (production) return;
    if (app.inbox !== null) registerInbox(app, app.inbox);
    if (appUrl === publicUrl) registerPages(app);
  },
  { name: 'dev-inbox', dependencies: ['config', 'mailer', 'http', 'openapi'] },
);
