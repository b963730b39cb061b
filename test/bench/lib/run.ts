/** What every part works with. */
import type { Placement } from './placement.ts';
import type { Servers } from './servers.ts';
import type { Load } from './service.ts';

export interface Run {
  readonly servers: Servers;
  readonly load: Load;
  readonly placement: Placement;
  /** Says what is being done. */
  readonly progress: (text: string) => void;
}
