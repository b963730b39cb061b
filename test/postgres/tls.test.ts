import { openPostgresStore } from '../../db/postgres/store.ts';
import { tlsCases } from '../support/tls-cases.ts';

tlsCases({
  greets: true,
  open: (port, authorityFile) =>
    openPostgresStore({
      url: `postgres://auth:hunter2@localhost:${port}/auth?sslmode=verify-full${authorityFile === null ? '' : `&sslrootcert=${authorityFile}`}`,
      poolMax: 1,
      timeoutMs: 300,
    }),
  told: 'auth',
  unanswered: { name: 'StoreUnavailable' },
});
