import { createRequire } from 'node:module';
import type pg from 'pg';
import type { z } from 'zod';
import { driverUrl } from './driver-url.ts';

/** Drivers take most of a second to load: not before there is a URL. */
const require = createRequire(import.meta.url);

/** What PostgreSQL's driver can read, with the files that it names. */
export const postgresUrl = (): z.ZodType<string, string> =>
  driverUrl(['postgres:', 'postgresql:'], (url) => {
    const { Client } = require('pg') as typeof pg;
    new Client({ connectionString: url });
    return null;
  });
