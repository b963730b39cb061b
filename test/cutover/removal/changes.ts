/** The lines that change when what `deletions.ts` names is gone: each text is in its file exactly once. */
export interface Change {
  readonly file: string;
  readonly from: string;
  /** Empty: it goes. */
  readonly to: string;
}

const change = (file: string, from: string, to = ''): Change => ({ file, from, to });

/** Files of which nothing stays: their new contents are beside this one. */
export const REPLACEMENTS: Readonly<Record<string, string>> = {
  'plugins/config/modes.ts': 'modes.ts.txt',
  'plugins/repositories.ts': 'repositories.ts.txt',
  'src/migrate.ts': 'migrate.ts.txt',
};

/** A test of what only then can be tested. */
export const ADDITIONS: Readonly<Record<string, string>> = {
  'test/http/after-the-move.test.ts': 'after-the-move.test.ts.txt',
};

export const CHANGES: readonly Change[] = [
  // The service
  change('src/app.ts', "import mongo from '../plugins/mongo.ts';\n"),
  change('src/app.ts', '  await app.register(mongo);\n'),
  change('plugins/config/variables.ts', "import { mappingFile } from './mapping.ts';\n"),
  change('plugins/config/variables.ts', "import { mongoUrl } from './mongo-url.ts';\n"),
  change('plugins/config/variables.ts', 'mongoUrl()', "v.serviceUrl('mongodb:', 'mongodb+srv:')"),
  change(
    'plugins/config/variables.ts',
    `  MONGO_MAPPING_FILE: open(mappingFile(), {
    description: "File that says where the old service's fields are; the same for all. See docs/mapping.md.",
    unset: 'the default mapping',
  }),
`,
  ),
  change('plugins/config/shape.ts', "import { DEFAULT_CODEC } from '../../db/canonical.ts';\n"),
  change('plugins/config/shape.ts', '    mongoCodec: env.MONGO_MAPPING_FILE ?? DEFAULT_CODEC,\n'),
  change('package.json', '  "bin": {\n    "cutover": "bin/cutover.js"\n  },\n'),
  change('package.json', '    "pg-boss": "12.38.0",\n'),
  change('package.json', '    "pg-copy-streams": "7.0.0",\n'),
  change('package.json', '    "@types/pg-copy-streams": "1.2.5",\n'),
  change('package.json', '    "bench": "node test/bench/run.ts",\n'),
  change('package.json', '    "demo": "node test/demo/run.ts",\n'),
  change('package.json', '    "torture": "node test/torture/run.ts",\n'),

  // The image
  change('Dockerfile', 'COPY bin bin\n'),
  change('Dockerfile', 'COPY cutover cutover\n'),
  change('Dockerfile', 'RUN ln -s /app/bin/cutover.js /usr/local/bin/cutover\n'),
  change('Dockerfile', ' This image has one, which `cutover` finds in its place.', ' This image has one.'),
  change(
    'Dockerfile',
    ` && mkdir -p node_modules/node/bin \\
  && ln -sf "$(command -v node)" node_modules/node/bin/node`,
  ),
  change('.dockerignore', '!bin\n'),
  change('.dockerignore', '!cutover\n'),

  // The tests
  change('test/contract/replica/harness.ts', "import { decisionCases } from './cases/decisions.ts';\n"),
  change('test/contract/replica/harness.ts', '  decisions: decisionCases,\n'),
  change('test/docs/generate.ts', "import { writeCutoverJson } from './cutover-json.ts';\n"),
  change('test/docs/generate.ts', 'writeCutoverJson();\n'),
  change('test/http/outage.test.ts', 'ownMongo, '),
  change('test/http/outage.test.ts', "  { mode: 'mongo-only', variable: 'MONGO_URL', start: ownMongo },\n"),
  change('test/support/app.ts', "import { calmDown } from './calm.ts';\n"),
  change(
    'test/support/app.ts',
    "  if (beside === undefined && !bringsStores(settings) && settings.pace !== 'usual') await calmDown(app);\n",
  ),
  change('test/support/app.ts', 'newMongoDatabase, '),
  change(
    'test/support/app.ts',
    `  'mongo-only': { mongo: true, postgres: false, authority: 'mongo' },
  'dual-write': { mongo: true, postgres: true, authority: 'mongo' },
  'shadow-read': { mongo: true, postgres: true, authority: 'mongo' },
  'postgres-primary': { mongo: true, postgres: true, authority: 'postgres' },
`,
  ),
  change('test/support/app.ts', '    ...(mongo && { MONGO_URL: newMongoDatabase() }),\n'),
  change('test/support/app.ts', '  const { mongo, postgres } = STORES', '  const { postgres } = STORES'),
  change('test/support/global-setup.ts', "import { provideMongo } from './mongo-servers.ts';\n"),
  change(
    'test/support/global-setup.ts',
    '      provideMongo(project, { ...shared, toolsDir }, log),\n',
    '      [],\n',
  ),
  change('test/support/repository.ts', "import { openMongoAt, removeFromMongo } from './mongo.ts';\n"),
  change(
    'test/support/repository.ts',
    "  mongo: (env: Environment): Promise<Store> => openMongoAt(env['MONGO_URL'] ?? ''),\n",
  ),
  change(
    'test/support/repository.ts',
    '    if (config.mongoUrl !== null) await removeFromMongo(config.mongoUrl, id);\n',
  ),
  change(
    'test/support/stores.ts',
    "export { newMongoDatabase, openMongo, openMongoStandalone, ownMongo } from './mongo.ts';\n\n",
  ),
];
