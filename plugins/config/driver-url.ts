import type { z } from 'zod';
import { serviceUrl } from './values.ts';

/**
 * A URL that `read`, by its driver, does not throw at: one that it cannot read would look like a server that is down. What it
 * returns is a problem of the URL, without its text.
 */
export const driverUrl = (
  schemes: readonly string[],
  read: (url: string) => string | null,
): z.ZodType<string, string> =>
  serviceUrl(...schemes).superRefine((url, context) => {
    try {
      const problem = read(url);
      if (problem !== null) context.addIssue({ code: 'custom', message: problem });
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException;
      const message =
        syscall === undefined
          ? 'cannot be read by its driver; look at hosts, ports and options, and encode a password as %2F for /'
          : `names a file that its driver cannot read (${code}); name one that this process may read`;
      context.addIssue({ code: 'custom', message });
    }
  });
