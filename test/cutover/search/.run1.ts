import { explore } from '/work/main/test/cutover/search/explore.ts';
import * as S from '/work/main/test/cutover/search/scenarios.ts';
const [name, faults, attempts, ticks, max] = process.argv.slice(2);
const sc = { ...(S as any)[name], faults: +faults, attempts: +attempts, leaseTicks: +(ticks??1) };
const t = performance.now();
const r = explore(sc, { statesMax: +(max ?? 3e6) });
console.log(r.scenario, r.states, r.edges, r.complete, ((performance.now()-t)/1000).toFixed(1)+'s', (process.memoryUsage().rss/1e6|0)+'MB');
if (r.finding) console.log(r.finding.what + '\n' + r.finding.trace.join('\n'));
console.log([...r.steps].map(([k,v])=>k+':'+v).join(', '));
