/** The mapping file: JSON that says where each field of the old service's documents is. See docs/mapping.md. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { JsonInvalid, parseJson } from '../../cutover/json-text.ts';
import {
  type Codec,
  createCodec,
  DEFAULT_MAPPING,
  MappingInvalid,
  parseMapping,
} from '../../db/canonical.ts';

/** From a file's name to how documents are read and written. */
export const mappingFile = (): z.ZodType<Codec, string> =>
  z.string().transform((name, context) => {
    try {
      return readMapping(name);
    } catch (error) {
      if (!(error instanceof MappingInvalid)) throw error;
      context.addIssue({ code: 'custom', message: error.problems.join('; ') });
      return z.NEVER;
    }
  });

/** Throws `MappingInvalid`: also when there is no such file, or it holds no JSON. */
export function readMapping(name: string): Codec {
  return createCodec(parseMapping(parse(textOf(name)), DEFAULT_MAPPING));
}

function textOf(name: string): string {
  try {
    return readFileSync(name, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new MappingInvalid([`cannot be read (${code}); name a mapping file this process may read`]);
  }
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw error instanceof JsonInvalid ? new MappingInvalid([error.message]) : error;
  }
}
