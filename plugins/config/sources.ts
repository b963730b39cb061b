/** Collects the text of each variable: from the environment, or for a secret from the file that NAME_FILE names. */
import { readFileSync } from 'node:fs';
import { type ConfigVariable, configVariables } from './variables.ts';

export interface Sources {
  readonly texts: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
}

/** An empty variable counts as unset: compose files and shells cannot express the difference. */
export function collect(env: NodeJS.ProcessEnv): Sources {
  const texts: Record<string, string> = {};
  const problems: string[] = [];
  for (const variable of configVariables) {
    const found = read(env, variable);
    if ('problem' in found) problems.push(found.problem);
    else if (found.text !== '') texts[variable.name] = found.text;
  }
  return { texts, problems };
}

/** The text of one variable; empty when it is not set. */
export function read(
  env: NodeJS.ProcessEnv,
  { name, secret }: Pick<ConfigVariable, 'name' | 'secret'>,
): { readonly text: string } | { readonly problem: string } {
  const text = env[name] ?? '';
  const file = secret ? (env[`${name}_FILE`] ?? '') : '';
  if (file === '') return { text };
  if (text !== '') return { problem: `${name}: is set, and ${name}_FILE too; keep one of them` };
  try {
    const content = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    return content === ''
      ? { problem: `${name}_FILE: names an empty file; put the secret into it` }
      : { text: content };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    return { problem: `${name}_FILE: cannot be read (${code}); name a file this process may read` };
  }
}
