import { isUtf8 } from 'node:buffer';
import type { FastifyInstance } from 'fastify';

/**
 * JSON is the only body there is, and UTF-8 is how it is written: read leniently, each byte that is none would become one and
 * the same character, and all passwords that differ in it one password. An empty body is none: the schema then says what is
 * missing, and routes without one take it.
 */
export function takeJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser(['application/json', 'text/plain']);
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) done(null, undefined);
    else if (isUtf8(body)) parse(request, body.toString(), done);
    else done(Object.assign(new SyntaxError('the body is not UTF-8'), { statusCode: 400 }));
  });
}
