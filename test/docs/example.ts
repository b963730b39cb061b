import { type ConfigVariable, configVariables } from '../../plugins/config/variables.ts';

/** `.env.example`: every variable with its default, or empty; nothing in it is a secret. */
export function renderExample(): string {
  const sections = [...new Set(configVariables.map(({ section }) => section))];
  const blocks = sections.map((section) => {
    const entries = configVariables.filter((variable) => variable.section === section).map(entry);
    return [`# --- ${section} ---`, ...entries].join('\n\n');
  });
  return [
    '# Every variable of the service. Copy it to .env for `npm run dev`, which needs none of them; `npm start` wants those',
    '# marked as needed in production. Times are like 500ms, 2s, 15m, 24h, 90d. An empty variable counts as unset.',
    '',
    blocks.join('\n\n'),
    '',
  ].join('\n');
}

function entry(variable: ConfigVariable): string {
  const { name, description, literal, required, secret } = variable;
  const notes = [
    required === null ? [] : [`# Needed in production${required === 'always' ? '' : `, ${required}`}.`],
    secret ? [`# Also from the file that ${name}_FILE names.`] : [],
    !literal && variable.default !== null ? [`# Unset: ${variable.default}.`] : [],
  ].flat();
  return [`# ${description}`, ...notes, `${name}=${literal ? (variable.default ?? '') : ''}`].join('\n');
}
