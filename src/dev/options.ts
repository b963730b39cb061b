import { parseArgs } from 'node:util';

export interface DevOptions {
  readonly ephemeral: boolean;
  readonly help: boolean;
  /** Relative to the working directory; null: the project's own `.data`. */
  readonly dataDir: string | null;
}

export const HELP = `npm run dev -- [options]

Runs the service on http://127.0.0.1:3000 with everything it needs: databases that are not configured are started
here, mails that are not sent anywhere can be read at /dev/inbox, API docs are at /docs.

Options
  --ephemeral    keep nothing: databases and keys live in a temporary folder and go with it
  --data DIR     keep the data there instead of .data/; one run at a time
  --help         this text

Environment (all variables: .env.example; a file .env is read, what is set in the environment wins)
  PORT           port to listen on; 0 takes a free one. Unset: 3000, and with --ephemeral a free one if that is taken
  BACKEND_MODE   mode of a new system, mongo-only unless set; kept data remembers its own
  DATABASE_URL   a PostgreSQL to use. Unset: PostgreSQL 18 from npm is started
  MONGO_URL      a MongoDB to use. Unset: the first that can be had is started: mongod on PATH, one downloaded by
                 mongodb-memory-server (not with MONGOMS_RUNTIME_DOWNLOAD=false), SecantusDB from PyPI (python3)
  SMTP_URL       a mail server to use. Unset: mails stay in this process, at /dev/inbox
  AUTH_SECRETS, JWT_KEYS   Unset: made once and kept with the data, readable by you alone

Ctrl-C stops the service and all it started; so does the death of the npm or the script that runs it in the
foreground, even by kill -9. Embedded databases listen on 127.0.0.1 only.`;

/** Throws an error with a one-line message for options it does not know. */
export function parseOptions(args: readonly string[]): DevOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ephemeral: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false, short: 'h' },
      data: { type: 'string' },
    },
  });
  if (values.ephemeral && values.data !== undefined)
    throw new Error('--ephemeral keeps nothing: leave --data out');
  return { ephemeral: values.ephemeral, help: values.help, dataDir: values.data ?? null };
}
