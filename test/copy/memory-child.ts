/** A process that copies and verifies everything, under whatever heap limit it was given. Arguments: the two URLs, and what to do about bad documents. */
import { runBackfill, verify } from '../../cutover/copy/index.ts';
import { openScope } from './scope.ts';

const [, , mongoUrl = '', postgresUrl = '', onBad = 'rollback'] = process.argv;
const { scope, close } = await openScope({ mongoUrl, postgresUrl });
const { counts } = await runBackfill(scope, {
  from: 'mongo',
  onBad: onBad === 'quarantine' ? onBad : 'rollback',
});
const { clean, compared } = await verify(scope);
await close();
process.stdout.write(JSON.stringify({ read: counts.read, inserted: counts.inserted, clean, compared }));
