/** Invariant 6: nothing is answered under an authority that has been given up, by whoever and however late. */

import { authorityOf } from '../../../../cutover/mode.ts';
import type { ControlRecord } from '../../../../cutover/protocol/types.ts';
import type { StoreName } from '../../../../db/errors.ts';
import type { Entry } from '../history.ts';
import type { Report } from './answers.ts';

export interface Epochs {
  /** A store has written this control record. */
  written(store: StoreName, record: Pick<ControlRecord, 'mode' | 'epoch'>, tick: number): void;
  authorityOf(epoch: number): StoreName | null;
  /** How often authority moved. */
  count(): number;
  judge(entries: readonly Entry[], report: Report): void;
}

interface Begun {
  readonly authority: StoreName;
  /** When it was first recorded anywhere: from then on the one before is over. */
  readonly tick: number;
}

export function createEpochs(): Epochs {
  const epochs = new Map<number, Begun>();
  const clashes: string[] = [];
  return {
    written(_store, { mode, epoch }, tick) {
      const known = epochs.get(epoch);
      if (known === undefined) epochs.set(epoch, { authority: authorityOf(mode), tick });
      else if (known.authority !== authorityOf(mode)) clashes.push(`epoch ${epoch} has two authorities`);
    },
    authorityOf: (epoch) => epochs.get(epoch)?.authority ?? null,
    count: () => Math.max(0, epochs.size - 1),
    judge(entries, report) {
      for (const clash of clashes) report('two authorities', null, clash);
      for (const entry of entries) {
        if ((entry.outcome !== 'ok' && entry.outcome !== 'refused') || entry.landed === null) continue;
        const { epoch, store } = entry.landed;
        const own = epochs.get(epoch);
        const next = epochs.get(epoch + 1);
        if (own !== undefined && own.authority !== store) {
          report('wrong authority', entry, `answered by ${store} in epoch ${epoch}`);
        }
        if (next !== undefined && entry.endTick > next.tick) {
          report('past its authority', entry, `epoch ${epoch} was over when it was answered`);
        }
      }
    },
  };
}
