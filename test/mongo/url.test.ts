import { expect, test } from 'vitest';
import { ConfigError, loadStoresConfig } from '../../plugins/config/stores.ts';
import { loadConfig } from '../../plugins/config.ts';

const readers = {
  'the service': (url: string) => loadConfig({ MONGO_URL: url }, { production: false }),
  'an operator': (url: string) => loadStoresConfig({ MONGO_URL: url }),
};

test.each([
  ['a port that is a word', 'mongodb://db.example:hunter2/auth'],
  ['a password that is not encoded', 'mongodb://auth:hunter/2@db.example/auth'],
  ['an option that is none', 'mongodb://db.example/auth?hunter2=1'],
  ['a value that is none', 'mongodb://db.example/auth?tls=hunter2'],
  ['options that contradict each other', 'mongodb://db.example/auth?directConnection=true&loadBalanced=true'],
  ['a file that is not there', 'mongodb://db.example/auth?tls=true&tlsCAFile=/hunter2.pem'],
])('MONGO_URL with %s is a problem of the configuration, told without its text', (_, url) => {
  for (const read of Object.values(readers)) {
    try {
      read(url);
      expect.unreachable();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      expect(error.problems).toEqual([expect.stringMatching(/^MONGO_URL: .*driver/)]);
      expect(error.message).not.toContain('hunter');
    }
  }
});

test.each([
  ['journal=false', 'journal'],
  ['j=false', 'journal'],
  ['w=1', 'w'],
  ['w=0', 'w'],
  ['readConcernLevel=local', 'readConcernLevel'],
  ['readPreference=secondaryPreferred', 'readPreference'],
  ['readPreference=secondary&maxStalenessSeconds=120', 'readPreference'],
])('MONGO_URL with %s asks for too little, and is told to leave %s out', (option, name) => {
  for (const read of Object.values(readers)) {
    expect(() => read(`mongodb://auth:hunter2@db.example/auth?${option}`)).toThrow(
      expect.objectContaining({
        problems: [expect.stringMatching(`^MONGO_URL: asks for less .* leave out ${name} \\(`)],
      }),
    );
  }
});

test.each([
  'mongodb://db.example/auth?retryWrites=true&w=majority&journal=true&wtimeoutMS=5000',
  'mongodb://db.example/auth?readPreference=primary&readConcernLevel=majority',
  'mongodb://auth:p%40ss@a.example,b.example:27018/auth?replicaSet=rs0&tls=true',
  'mongodb+srv://cluster.example.test/auth',
  'mongodb://%2Ftmp%2Fmongodb-27017.sock/auth',
])('%s is taken', (url) => {
  for (const read of Object.values(readers)) expect(read(url).mongoUrl).toBe(url);
});
