/** What is seen: on a terminal events with a live panel below them, elsewhere plain lines. */
import { styleText } from 'node:util';
import { MODES } from '../../cutover/mode.ts';
import type { Status } from '../../cutover/operator/types.ts';
import type { Scene } from './story.ts';

export interface Screen {
  /** An event, which stays. */
  say(text: string): void;
  /** What is being waited for, until the next event. */
  hint(text: string): void;
  /** From here on the panel is alive. */
  show(scene: Scene): void;
  done(): void;
}

const DRAW_MS = { terminal: 250, elsewhere: 5_000 } as const;
const STATUS_MS = 1_000;
const CLEAR_BELOW = '\x1b[J';
const WORDS = new Intl.NumberFormat('en');

export function createScreen(stream: NodeJS.WriteStream): Screen {
  const terminal = stream.isTTY === true;
  const startedMs = performance.now();
  let scene: Scene | null = null;
  let status: Status | null = null;
  let hint = '';
  let drawn = 0;
  let over = false;
  const timers: NodeJS.Timeout[] = [];
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    terminal ? styleText(style, text, { stream }) : text;
  const stamp = (): string => `${((performance.now() - startedMs) / 1_000).toFixed(0)} s`.padStart(5);

  function erase(): void {
    if (drawn > 0) stream.write(`\x1b[${drawn}A\r${CLEAR_BELOW}`);
    drawn = 0;
  }

  function draw(): void {
    if (!terminal || over) return;
    const width = (stream.columns || 100) - 1;
    const lines = [...panel(), hint === '' ? '' : paint('dim', `  ${hint.slice(0, width - 2)}`)];
    erase();
    stream.write(`${lines.join('\n')}\n`);
    drawn = lines.length;
  }

  function panel(): readonly string[] {
    if (scene === null) return [''];
    const { system, balancer, monitor, traffic } = scene;
    const mode = monitor.mode();
    const ladder = MODES.map((each) =>
      each === mode ? paint(['inverse', 'bold'], ` ${each} `) : paint('dim', each),
    );
    const instances = system.places.map(({ name, current }) =>
      balancer.isIn(name)
        ? `${paint('green', '●')} ${name} (process ${current()?.pid})`
        : paint('yellow', `○ ${name} (being replaced)`),
    );
    const { ok, refused, failed } = traffic.counts();
    const { perSecond, p50Ms, p99Ms } = traffic.recent();
    const failures = `${WORDS.format(failed)} failed`;
    return [
      '',
      `  mode      ${ladder.join(' → ')}   epoch ${monitor.epoch() ?? '?'}`,
      `  instances ${instances.join('   ')}`,
      `  traffic   ${perSecond.toFixed(0)}/s   ${WORDS.format(ok)} done   ${WORDS.format(refused)} refused as they should be   ${paint(failed === 0 ? 'green' : ['red', 'bold'], failures)}   p50 ${p50Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms`,
      `  stores    pending ${monitor.pending() ?? '?'}   compared ${status?.shadow.compared ?? 0}   diffs ${diffsOf(status)}`,
    ];
  }

  /** The panel in one line, for logs. */
  function line(): void {
    if (scene === null) return;
    const { monitor, traffic } = scene;
    const { ok, refused, failed } = traffic.counts();
    const { perSecond } = traffic.recent();
    stream.write(
      `${stamp()}  [${monitor.mode()}] ${perSecond.toFixed(0)}/s, ${ok} done, ${refused} refused, ${failed} failed; pending ${monitor.pending() ?? '?'}, compared ${status?.shadow.compared ?? 0}, diffs ${diffsOf(status)}\n`,
    );
  }

  async function refresh(): Promise<void> {
    status = (await scene?.operator.status().catch(() => null)) ?? status;
  }

  return {
    say(text) {
      hint = '';
      erase();
      stream.write(`${paint('dim', stamp())}  ${text}\n`);
      draw();
    },
    hint(text) {
      hint = text;
      draw();
    },
    show(next) {
      scene = next;
      timers.push(
        setInterval(() => void refresh(), STATUS_MS),
        setInterval(terminal ? draw : line, terminal ? DRAW_MS.terminal : DRAW_MS.elsewhere),
      );
    },
    done() {
      over = true;
      for (const timer of timers) clearInterval(timer);
      erase();
    },
  };
}

const diffsOf = (status: Status | null): number => status?.differences ?? 0;
