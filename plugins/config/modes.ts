import { MODE_FACTS, type Mode } from '../../cutover/mode.ts';

/** The modes that BACKEND_MODE may name. */
export { MODES, type Mode } from '../../cutover/mode.ts';

/** What BACKEND_MODE is when it is not set. */
export const FIRST_MODE: Mode = 'mongo-only';

/** Whether the mode does anything with this store. */
export function uses(mode: Mode, store: 'mongo' | 'postgres'): boolean {
  const { authority, mirror } = MODE_FACTS[mode];
  return authority === store || mirror === store;
}
