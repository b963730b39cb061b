import { expect, it, describe as suite } from 'vitest';
import { campaign, describe } from './campaign.ts';
import { simulate } from './simulate.ts';
import { without } from './teeth.ts';

const SEEDS = Number(process.env['SIMULATION_SEEDS'] ?? 150);
const FROM = Number(process.env['SIMULATION_FROM'] ?? 1);
/** A loaded machine runs fewer seeds rather than longer. */
const BUDGET_MS = process.env['SIMULATION_SEEDS'] === undefined ? 30_000 : Number.POSITIVE_INFINITY;

/** What must have happened in a hundred seeds, at least so often: a run in which nothing happens proves nothing. */
const LEAST: Readonly<Record<string, number>> = {
  'climate calm': 5,
  'climate mirror trouble': 3,
  'climate stalling': 10,
  'climate wild': 15,
  'changes of authority': 60,
  'move done': 100,
  'move aborted': 5,
  'move refused': 10,
  'operator: abort': 5,
  'operator: finish': 3,
  cutover_lease_lapses_total: 60,
  'cutover_refused_total lease-lost': 10,
  'waited at a fence or for a lease': 100,
  'instances replaced': 10,
  'cutover_breaker_opened_total postgres mirror': 10,
  'cutover_breaker_opened_total mongo mirror': 10,
  'network: timeout': 100,
  'network: landed late': 20,
  'network: reply lost': 20,
  'network: request lost': 20,
  'network: frozen': 50,
  'network: store down': 100,
  'fault: kill': 10,
  'fault: pause': 20,
  'fault: suspend': 20,
  'fault: clock set': 20,
  'fault: caught sending': 10,
  'fault: caught carried out': 20,
  'port createAccount ok': 500,
  'port createAccount refused': 100,
  'port openSession ok': 500,
  'port findSession ok': 2_000,
  'port rotateSession ok': 500,
  'port rotateSession unknown': 5,
  'port revokeSession ok': 300,
  'port changePassword ok': 150,
  'port requestReset ok': 150,
  'port consumeReset ok': 40,
  'port verifyEmail ok': 150,
  'port endSessions ok': 80,
  'port eraseUser ok': 30,
};

suite('the real engine on simulated clocks and network', () => {
  it('keeps every promise in every seed', { timeout: 600_000 }, async () => {
    const run = await campaign({ from: FROM, seeds: SEEDS, budgetMs: BUDGET_MS });
    console.log(
      `simulation: ${run.seeds} seeds, ${run.steps} steps, ${run.totals.get('port operations')} operations, ` +
        `${run.totals.get('changes of authority')} changes of authority in ${run.seconds.toFixed(1)} s`,
    );
    expect(run.failed.map(describe).join('\n')).toBe('');
    const share = run.seeds / 100;
    const missing = Object.entries(LEAST).filter(([what, least]) => {
      // Of a few seeds nothing can be asked.
      return run.seeds >= 50 && (run.totals.get(what) ?? 0) < Math.floor((least * share) / 2);
    });
    expect(missing.map(([what, least]) => `${what}: ${run.totals.get(what) ?? 0} of ${least}`)).toEqual([]);
    expect(run.longestWaitMs).toBeLessThan(250);
  });

  it('replays a seed exactly', async () => {
    for (const seed of [3, 4, 5]) {
      const [first, second] = [await simulate({ seed }), await simulate({ seed })];
      expect(second.fingerprint).toBe(first.fingerprint);
      expect(second.steps).toBe(first.steps);
    }
    expect((await simulate({ seed: 3 })).fingerprint).not.toBe((await simulate({ seed: 4 })).fingerprint);
  });

  it.each([
    ['the fence', 1],
    ['the second lease check', 1],
    ['both clocks', 1],
    ['no self-resume', 1],
  ] as const)('misses %s when it is taken out', { timeout: 600_000 }, async (name, from) => {
    const run = await campaign({ from, seeds: 500, rules: without(name), untilFailure: true });
    console.log(`without ${name}: ${run.failed.map(describe).join('\n')}`);
    expect(run.failed).toHaveLength(1);
  });
});
