import { styleText } from 'node:util';
import { uses } from '../../plugins/config/modes.ts';
import type { Config } from '../../plugins/config.ts';
import type { Databases } from './databases.ts';

export interface BannerFacts {
  readonly config: Config;
  /** Null: not known yet. */
  readonly effectiveMode: string | null;
  readonly databases: Databases;
  /** Null keeps nothing. */
  readonly dataDir: string | null;
  /** Where the stores' URLs are for the operator's command line; null: nowhere. */
  readonly envFile: string | null;
  /** Whether to use colours. */
  readonly coloured: boolean;
}

/** What runs where, for somebody who has just started it. */
export function banner(facts: BannerFacts): string {
  const { config, effectiveMode, databases, dataDir, envFile, coloured } = facts;
  const { backendMode: mode, publicUrl } = config;
  const unused = (store: 'mongo' | 'postgres'): string => (uses(mode, store) ? '' : ` (not used in ${mode})`);
  const { postgres, mongo } = databases;
  const rows: readonly (readonly [string, string])[] = [
    ['service', publicUrl],
    ['API docs', `${publicUrl}/docs`],
    ['mails', config.smtpUrl === null ? `${publicUrl}/dev/inbox` : 'sent to SMTP_URL'],
    ['mode', `configured ${mode}, effective ${effectiveMode ?? 'not known yet'}`],
    ['MongoDB side', `${mongo.server} ${mongo.place}${unused('mongo')}`],
    ['PostgreSQL side', `${postgres.server} ${postgres.place}${unused('postgres')}`],
    ...(envFile === null ? [] : [['operate', `npx --no cutover status --env-file ${envFile}`] as const]),
    ['data', dataDir === null ? 'nothing is kept (--ephemeral)' : `${dataDir} (delete it to start afresh)`],
  ];
  const paint = (text: string): string =>
    coloured ? styleText('cyan', text, { validateStream: false }) : text;
  const lines = rows.map(([name, text]) => `  ${paint(name.padEnd(16))} ${text}`);
  return ['', ...lines, '', '  Ctrl-C stops everything', ''].join('\n');
}
