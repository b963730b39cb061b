/** The service over HTTP on documents of one shape of docs/mappings. */
import { fileURLToPath } from 'node:url';
import bcrypt from 'bcryptjs';
import { ObjectId } from 'bson';
import { describe, expect, test } from 'vitest';
import { startApp } from '../support/app.ts';
import { withMongo } from '../support/legacy-fixtures.ts';
import { isAlive, login, newEmail, newPassword } from '../support/users.ts';

const PASSPORT = fileURLToPath(new URL('../../docs/mappings/passport.json', import.meta.url));

describe('mongo-only, under a mapping of the old service', async () => {
  const app = await startApp('mongo-only', { env: { MONGO_MAPPING_FILE: PASSPORT } });

  test('a user whose credentials lie elsewhere logs in, and what nobody maps stays', async () => {
    const password = newPassword();
    const email = newEmail('mapped');
    const _id = new ObjectId();
    const local = { email, password: await bcrypt.hash(password, 4), verified: true, phone: '1' };
    await withMongo(app, (db) => db.collection('users').insertOne({ _id, local, name: 'Ann' }));

    const { user, client } = await login(app, email, password);
    expect(user).toMatchObject({ id: _id.toHexString(), email, name: 'Ann', isVerified: true });
    expect(await isAlive(client)).toBe(true);
    const wrong = await app.client().post('/auth/login', { email, password: newPassword() });
    expect(wrong.status).toBe(401);

    const doc = await withMongo(app, (db) => db.collection('users').findOne({ _id }));
    expect(doc).toMatchObject({ local: { email, verified: true, phone: '1' }, name: 'Ann' });
  });
});
