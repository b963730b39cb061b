/** Snapshots for people. */
import type { Output } from '../schemas.ts';
import type { Style } from '../style.ts';
import { columns, indented } from '../table.ts';
import { count, counted, printable } from '../words.ts';

type Body<N extends keyof Output> = Omit<Output[N], 'verb' | 'outcome' | 'exitCode'>;

export function createdLines(
  { name, path, system, bytes, stores }: Body<'snapshotCreated'>,
  style: Style,
): string[] {
  const { mongo, postgres } = stores;
  return [
    style.good(name),
    ...columns([
      ['folder', printable(path)],
      [
        'system',
        system === null ? 'none yet' : `${system.mode}, epoch ${system.epoch}, revision ${system.revision}`,
      ],
      ['size', bytesWords(bytes)],
      ...(mongo === null
        ? []
        : [
            [
              'MongoDB',
              `${counted(mongo.documents, 'document')} as of ${mongo.at}, ${count(mongo.pending)} pending`,
            ],
          ]),
      ...(postgres === null
        ? []
        : [
            [
              'PostgreSQL',
              `as of ${postgres.at}, by ${printable(postgres.tool ?? 'COPY')}, ${count(postgres.pending)} pending`,
            ],
          ]),
    ]),
    ...(mongo === null || mongo.consistent
      ? []
      : [
          style.warn(
            `MongoDB's collections are not as of one moment: ${printable(mongo.inconsistentBecause ?? '')}`,
          ),
        ]),
    ...(mongo === null || mongo.leftOut.length === 0
      ? []
      : [style.warn(`left out, no plain collections: ${mongo.leftOut.map(printable).join(', ')}`)]),
    style.dim('It holds personal data and password hashes: keep it as closely as the databases.'),
  ];
}

export function listLines({ dir, snapshots, unfinished }: Body<'snapshots'>, style: Style): string[] {
  return [
    ...(snapshots.length === 0 ? [`none in ${printable(dir)}`] : []),
    ...columns(
      snapshots.map(({ name, mode, epoch, revision, stores, bytes }) => [
        printable(name),
        mode === null ? '-' : `${printable(mode)}, epoch ${epoch}, revision ${revision}`,
        stores.join(' and ') || style.bad('its manifest cannot be read'),
        bytesWords(bytes),
      ]),
    ),
    ...(unfinished.length === 0
      ? []
      : ['', style.warn('did not end; delete these folders, they hold personal data too:')]),
    ...indented(unfinished.map((name) => `${printable(dir)}/${printable(name)}`)),
  ];
}

export function verifiedLines(
  { name, files, bytes, problems }: Body<'snapshotVerified'>,
  style: Style,
): string[] {
  if (problems.length === 0) {
    return [style.good(`${name}: ${counted(files, 'file')}, ${bytesWords(bytes)}, all as they were written`)];
  }
  return [
    style.bad(`${printable(name)}: not as it was written`),
    ...indented(columns(problems.map(({ path, problem }) => [problem, printable(path)]))),
  ];
}

export function restoredLines(
  { name, into, database, records, altered }: Body<'snapshotRestored'>,
  style: Style,
): string[] {
  const what = records === null ? '' : ` (${counted(records, into === 'mongo' ? 'document' : 'row')})`;
  return [
    style.good(`${printable(name)} is in ${printable(database)}${what}`),
    ...(altered === 0
      ? []
      : [style.warn(`${counted(altered, 'document')} changed in bytes: broken text; mongorestore keeps it`)]),
    'Nothing serves from it before an operator says so: `cutover snapshot clear`, with its URL configured.',
  ];
}

function bytesWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${at === 0 ? bytes : (bytes / 1_024 ** at).toFixed(1)} ${units[at]}`;
}
