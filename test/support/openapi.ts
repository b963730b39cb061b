/** Holds answers against the service's own OpenAPI document: a status or shape it does not name fails the test. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { Answer } from './client.ts';

export interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly securitySchemes: Readonly<Record<string, object>>;
  };
}

interface Operation {
  readonly summary?: string;
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
  }[];
  readonly requestBody?: { readonly required?: boolean };
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly content?: Readonly<Record<string, { readonly schema: object }>>;
        readonly headers?: Readonly<Record<string, object>>;
      }
    >
  >;
}

/** Throws when the answer is not one that the document allows. */
export type ResponseCheck = (method: string, path: string, answer: Answer) => void;

const PROBLEM = 'application/problem+json';
/** What clients act on. */
const HEADERS = [
  'retry-after',
  'ratelimit',
  'ratelimit-policy',
  'set-cookie',
  'www-authenticate',
  'x-request-id',
];
const LEAKS = [
  /\bat [\w.<>]+ \(?(file:|node:|\/)/,
  /node_modules/,
  /mongo/i,
  /postgres/i,
  /\bsql\b/i,
  /E11000/,
];

/** By the document's text, which nearly all services of a run share: to compile its schemas takes as long as to start one. */
const checks = new Map<string, ResponseCheck>();

export function createResponseCheck(document: OpenApiDocument): ResponseCheck {
  const text = JSON.stringify(document);
  const check = checks.get(text) ?? compileResponseCheck(document);
  checks.set(text, check);
  return check;
}

function compileResponseCheck(document: OpenApiDocument): ResponseCheck {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema({ $id: 'doc', ...document });
  const validators = new Map<string, ValidateFunction>();
  const routes = Object.entries(document.paths).map(([template, operations]) => ({
    template,
    operations,
    pattern: new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
  }));

  function validate(pointer: string, value: unknown, what: string): void {
    let validator = validators.get(pointer);
    if (validator === undefined) {
      validator = ajv.compile({ $ref: `doc#${pointer}` });
      validators.set(pointer, validator);
    }
    if (!validator(value)) {
      throw new Error(`${what} is not what the OpenAPI document says: ${ajv.errorsText(validator.errors)}`);
    }
  }

  return (method, path, answer) => {
    const pathname = new URL(path, 'http://x').pathname;
    const what = `${method} ${pathname} → ${answer.status}`;
    const type = answer.headers['content-type']?.split(';')[0] ?? null;
    if (method === 'OPTIONS' || pathname.startsWith('/docs') || pathname.startsWith('/dev')) return;

    if (answer.headers['referrer-policy'] !== 'no-referrer')
      throw new Error(`${what} has no Referrer-Policy`);
    if (type === PROBLEM && method !== 'HEAD') checkProblem(what, answer);
    const route = routes.find(({ pattern }) => pattern.test(pathname));
    const isHead = method === 'HEAD';
    const verb = isHead && answer.status !== 404 ? 'get' : method.toLowerCase();
    const operation = route?.operations[verb];
    if (route === undefined || operation === undefined) {
      if (answer.status !== 404 && answer.body.code !== 'bad_request')
        throw new Error(`${what}: the document has no such route`);
      if (method !== 'HEAD') validate('/components/schemas/Problem', answer.body, what);
      return;
    }
    if (pathname.startsWith('/auth') && answer.headers['cache-control'] !== 'no-store') {
      throw new Error(`${what} is not no-store`);
    }
    const response = operation.responses[String(answer.status)];
    if (response === undefined) throw new Error(`${what}: the document does not name this status`);
    const named = Object.keys(response.headers ?? {}).map((name) => name.toLowerCase());
    const unnamed = HEADERS.filter((name) => name in answer.headers && !named.includes(name));
    if (unnamed.length > 0) throw new Error(`${what} has ${unnamed}, which the document does not name`);
    if (isHead) return;
    if (response.content === undefined) {
      if (answer.text !== '') throw new Error(`${what} has a body, the document says it has none`);
      return;
    }
    if (type === null || !(type in response.content)) {
      throw new Error(`${what} is ${type}, the document says ${Object.keys(response.content)}`);
    }
    const pointerPart = (part: string): string =>
      encodeURIComponent(part.replace(/~/g, '~0').replace(/\//g, '~1'));
    const parts = [
      'paths',
      route.template,
      verb,
      'responses',
      String(answer.status),
      'content',
      type,
      'schema',
    ];
    const isJson = /[/+]json$/.test(type);
    validate(`/${parts.map(pointerPart).join('/')}`, isJson ? answer.body : answer.text, what);
  };
}

function checkProblem(what: string, { status, body, text, headers }: Answer): void {
  if (body.status !== status) throw new Error(`${what}: the problem says status ${body.status}`);
  if (body.type !== `urn:problem:auth:${body.code}`) throw new Error(`${what}: type and code differ`);
  if (status === 503 || status === 429) {
    if (!(Number(headers['retry-after']) > 0)) throw new Error(`${what} has no Retry-After`);
  }
  const leak = LEAKS.find((pattern) => pattern.test(text));
  if (leak !== undefined) throw new Error(`${what} tells too much (${leak}): ${text}`);
}
