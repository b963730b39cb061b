import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type mongoose from 'mongoose';
import type { z } from 'zod';
import { weakenings } from '../../db/mongo/url.ts';
import { driverUrl } from './driver-url.ts';

/** Drivers take most of a second to load: not before there is a URL. */
const require = createRequire(import.meta.url);

/** What MongoDB's driver can read, with the files that it names. */
export const mongoUrl = (): z.ZodType<string, string> =>
  driverUrl(['mongodb:', 'mongodb+srv:'], (url) => {
    const { mongo } = require('mongoose') as typeof mongoose;
    const weak = weakenings(new mongo.MongoClient(url).options);
    if (weak.length > 0) return `asks for less than acknowledged writes need; leave out ${weak.join(', ')}`;
    // As the stores open it: there are options that only go with another read preference.
    const client = new mongo.MongoClient(url, { readPreference: 'primary' });
    const { tlsCAFile, tlsCRLFile, tlsCertificateKeyFile } = client.options;
    // It would read them when it connects, and call a missing one a server that does not answer.
    for (const file of [tlsCAFile, tlsCRLFile, tlsCertificateKeyFile]) {
      if (file !== undefined) readFileSync(file);
    }
    return null;
  });
