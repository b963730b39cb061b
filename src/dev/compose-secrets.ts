/**
 * Makes the random secrets of `docker-compose.yml`, once: what is there stays, so that restarts keep sessions and the
 * database's password. Arguments: the folder for the service, the folder for PostgreSQL.
 */
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDevelopmentKeys } from '../../plugins/config/keys.ts';

/** The user `node` of the image. */
const SERVICE_UID = 1000;

function writeOnce(path: string, make: () => string, mode: number): string {
  if (!existsSync(path)) {
    // Under another name first: an interrupted run must not leave half a secret.
    writeFileSync(`${path}.new`, make(), { mode });
    if (process.getuid?.() === 0) chownSync(`${path}.new`, SERVICE_UID, SERVICE_UID);
    renameSync(`${path}.new`, path);
  }
  return readFileSync(path, 'utf8');
}

const [serviceDir, postgresDir] = process.argv.slice(2);
if (serviceDir === undefined || postgresDir === undefined) {
  throw new Error('usage: compose-secrets.ts SERVICE_FOLDER POSTGRES_FOLDER');
}
const keys = makeDevelopmentKeys();
// The image's entry point reads it as a user whose number depends on the image; only that container mounts the volume.
const password = writeOnce(join(postgresDir, 'password'), () => randomBytes(32).toString('base64url'), 0o444);
writeOnce(join(serviceDir, 'database-url'), () => `postgres://auth:${password}@postgres:5432/auth`, 0o400);
writeOnce(join(serviceDir, 'auth-secrets'), () => keys.AUTH_SECRETS, 0o400);
writeOnce(join(serviceDir, 'jwt-keys'), () => keys.JWT_KEYS, 0o400);
