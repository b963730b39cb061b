// Least-privilege roles for one database. Run once by a user administrator, before the first migration; safe to run again:
//
//   mongosh 'mongodb://admin@host/auth' db/mongo/roles.js
//
// Users are given afterwards: db.createUser({ user: 'auth', pwd: passwordPrompt(), roles: ['auth_runtime'] }).
//
//   auth_migration  indexes and collections; for `npm run migrate`, `cutover preflight` and a snapshot's restore only
//   auth_runtime    what the service runs as: documents, never indexes or collections
//   auth_backfill   what every other verb of `cutover` runs as: documents as well

/* global db */
const everything = { db: db.getName(), collection: '' };
const look = ['find', 'listCollections', 'listIndexes', 'collStats', 'dbStats'];
const documents = [...look, 'insert', 'update', 'remove', 'changeStream'];
const structure = ['createCollection', 'createIndex', 'dropIndex', 'dropCollection'];

const roles = {
  auth_migration: [...documents, ...structure],
  auth_runtime: documents,
  auth_backfill: documents,
};

for (const [role, actions] of Object.entries(roles)) {
  const privileges = [{ resource: everything, actions }];
  if (db.getRole(role) === null) db.createRole({ role, privileges, roles: [] });
  else db.updateRole(role, { privileges, roles: [] });
}
