/** `cutover preflight`. */
import { UsageError } from '../parse.ts';
import { preflightLines } from '../print/preflight.ts';
import { answer, type Call, type Handler, unlessInterrupted } from './call.ts';
import { policyFor } from './policy.ts';
import { contextOf } from './snapshot.ts';

/** Of each collection. */
const SAMPLE = 2_000;
const INSTANCES = 2;
/** What the service takes where nobody has set it. */
const POOL_MAX = { POSTGRES_POOL_MAX: 20, MONGO_POOL_MAX: 50 } as const;

export const preflight: Handler = async (call) => {
  const { options, interrupted, verb, retentionMs } = call;
  if (options.has('full') && options.text('sample') !== null) {
    throw new UsageError('--full looks at all documents, --sample N at some', verb);
  }
  const sample = options.has('full') ? null : options.whole('sample', SAMPLE);
  const instances = options.whole('instances', INSTANCES);
  const poolMax = { mongo: poolOf(call, 'MONGO_POOL_MAX'), postgres: poolOf(call, 'POSTGRES_POOL_MAX') };
  // The drivers take most of a second to load, and help should not wait for them.
  const { preflight: look } = await import('../../preflight/preflight.ts');
  const looking = look(
    { ...contextOf(call), poolMax, retentionMs },
    { instances, sample, policy: policyFor(call) },
  );
  const found = await unlessInterrupted(looking, interrupted);
  const outcome = found.blocking === 0 ? 'done' : 'difference';
  return answer('preflight', outcome, { sample, ...found }, (style) => preflightLines(found, sample, style));
};

function poolOf({ env, verb }: Call, name: keyof typeof POOL_MAX): number {
  const text = env[name] ?? '';
  if (text === '') return POOL_MAX[name];
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new UsageError(`${name} must be a whole number`, verb);
}
