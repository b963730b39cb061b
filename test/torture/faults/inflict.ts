/** Each fault done for real, and what must be seen for it to have bitten. */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../support/wait.ts';
import { isRecordWrite } from '../../support/wire.ts';
import { probe } from '../system/instances.ts';
import type { System } from '../system/system.ts';
import type { Fault } from './plan.ts';

/** What an instance logs when it notices that its lease is over. */
const LAPSED = 'the lease lapsed';
const NOTICED_MS = 60_000;
/** How long something must stay silent to count as gone. */
const SILENCE_MS = 400;
/** How long an instance may take to say how it is. */
const PROBE_MS = 3_000;
/** How long everything may take to be well again. */
const RECOVERY_MS = 180_000;
/** How much longer a fault on the way lasts when nothing has come that way yet, on a slow machine. */
const UNTIL_IT_BITES_MS = 30_000;

/** Does it, waits, ends it, and waits until all are well again. Resolves to what was seen; null: it did not bite. */
export async function inflict(system: System, fault: Fault): Promise<string | null> {
  const bite = await strike(system, fault);
  await allWell(system);
  return bite;
}

async function strike(system: System, fault: Fault): Promise<string | null> {
  switch (fault.kind) {
    case 'kill-instance': {
      const place = placeOf(system, fault.place);
      const instance = place.current();
      instance?.kill('SIGKILL');
      const exit = await instance?.exited;
      await sleep(fault.lastsMs);
      await place.start();
      return exit?.signal === 'SIGKILL' ? `process ${instance?.pid} ended by SIGKILL` : null;
    }
    case 'stop-instance': {
      const { url, current } = placeOf(system, fault.place);
      const instance = current();
      if (instance === null) return null;
      const lapses = (): number => instance.log().split(LAPSED).length - 1;
      const before = lapses();
      const epoch = await epochAt(url);
      instance.kill('SIGSTOP');
      let silent = false;
      try {
        [silent] = await Promise.all([isSilent(url), sleep(fault.lastsMs)]);
      } finally {
        instance.kill('SIGCONT');
      }
      // It has to find out for itself that it slept for too long: by its lease, or by an epoch in which it had none.
      const noticed = await eventually(
        async () => {
          if (lapses() > before) return 'its lease lapsed';
          const now = await epochAt(url);
          return epoch !== null && now !== null && now > epoch && `authority had moved to epoch ${now}`;
        },
        { timeoutMs: NOTICED_MS },
      ).catch(() => null);
      return silent && noticed !== null ? `no answer from process ${instance.pid}, and ${noticed}` : null;
    }
    case 'kill-store': {
      const store = system.stores[fault.store];
      await store.kill();
      const down = !(await store.answers(SILENCE_MS));
      await sleep(fault.lastsMs);
      await store.restart();
      return down ? 'its processes are gone, connections refused' : null;
    }
    case 'stop-store': {
      const store = system.stores[fault.store];
      const frozen = await store.freeze();
      try {
        const [answered] = await Promise.all([store.answers(SILENCE_MS), sleep(fault.lastsMs)]);
        return answered ? null : 'every process stands, a query hangs';
      } finally {
        frozen.thaw();
      }
    }
    case 'cut':
    case 'hold':
    case 'delay':
    case 'lose-replies':
      return onTheWay(system, fault);
  }
}

type LinkFault = Extract<Fault, { readonly place: string; readonly store: string }>;

async function onTheWay(system: System, fault: LinkFault): Promise<string | null> {
  const proxy = system.proxy(fault.place, fault.store);
  const before = proxy.stats();
  if (fault.kind === 'cut') proxy.cut();
  if (fault.kind === 'hold') proxy.freeze();
  if (fault.kind === 'delay') proxy.delay(fault.delayMs);
  if (fault.kind === 'lose-replies') proxy.loseReplies(fault.count, isRecordWrite);
  let heldMax = 0;
  const startMs = performance.now();
  let isAnyLost = false;
  const hasBitten = (): boolean => {
    const { refused, repliesLost } = proxy.stats();
    if (fault.kind === 'cut') return before.connections + refused - before.refused > 0;
    return fault.kind === 'lose-replies' ? repliesLost > before.repliesLost : heldMax > 0;
  };
  const untilMs = (): number => startMs + fault.lastsMs + (hasBitten() ? 0 : UNTIL_IT_BITES_MS);
  while (performance.now() < untilMs()) {
    await sleep(10);
    const { heldBytes, repliesLost: lost } = proxy.stats();
    heldMax = Math.max(heldMax, heldBytes);
    // In a mode without this store nobody writes records there.
    if (fault.kind !== 'lose-replies' || isAnyLost || lost > before.repliesLost) continue;
    if (performance.now() < startMs + fault.lastsMs / 2) continue;
    isAnyLost = true;
    proxy.loseReplies(fault.count);
  }
  const { refused, repliesLost } = proxy.stats();
  proxy.heal();
  if (fault.kind === 'cut') {
    const turnedAway = refused - before.refused;
    return before.connections + turnedAway > 0
      ? `${before.connections} connections reset, ${turnedAway} turned away`
      : null;
  }
  if (fault.kind === 'lose-replies') {
    const lost = repliesLost - before.repliesLost;
    return lost > 0 ? `${lost} replies lost after their ${isAnyLost ? 'statement' : 'write'}` : null;
  }
  return heldMax > 0 ? `up to ${heldMax} bytes held back` : null;
}

/** The epoch that it says it serves under; null: it does not say. */
async function epochAt(url: string): Promise<number | null> {
  try {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(PROBE_MS) });
    return ((await answer.json()) as { readonly epoch?: number | null }).epoch ?? null;
  } catch {
    return null;
  }
}

function placeOf(system: System, name: string) {
  const place = system.places.find((each) => each.name === name);
  if (place === undefined) throw new Error(`no instance ${name}`);
  return place;
}

async function isSilent(url: string): Promise<boolean> {
  // One request may have been under way when the process stopped; the next has nobody to answer it.
  const first = await probe(url, '/livez', SILENCE_MS);
  return first === null || (await probe(url, '/livez', SILENCE_MS)) === null;
}

/** Both stores answer, and every instance is ready. */
export async function allWell(system: System): Promise<void> {
  await eventually(
    async () => {
      for (const store of Object.values(system.stores)) {
        if (!(await store.answers(2_000))) throw new Error(`${store.name} does not answer`);
      }
      for (const { name, url, current } of system.places) {
        const status = await probe(url, '/readyz', PROBE_MS);
        if (status !== 200) {
          throw new Error(`instance ${name} answers ${status}: ${current()?.log().slice(-2_000)}`);
        }
      }
    },
    { timeoutMs: RECOVERY_MS, intervalMs: 100 },
  );
}
