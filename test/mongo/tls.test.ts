import { openMongoStore } from '../../db/mongo/store.ts';
import { tlsCases } from '../support/tls-cases.ts';

tlsCases({
  greets: false,
  open: (port, authorityFile) =>
    openMongoStore({
      url: `mongodb://localhost:${port}/auth?tls=true${authorityFile === null ? '' : `&tlsCAFile=${authorityFile}`}`,
      timeoutMs: 300,
      emailKeyPass: false,
    }),
  told: 'hello',
  unanswered: { name: 'StoreUnavailable', outcome: 'none', reason: 'connect' },
});
