export interface PasswordContext {
  readonly name: string;
  readonly email: string;
  readonly serviceName: string;
}

/** Why a new password is refused: many people have it, or it is made of words a stranger would try first. */
export type PasswordPolicy = (password: string, context: PasswordContext) => null | 'common' | 'context';

/** What a password has to hold besides words of its context; as long as the shortest password. */
const OWN_LENGTH_MIN = 8;
/** Shorter words turn up in good passwords by chance. */
const WORD_LENGTH_MIN = 3;

/** The policy over the list that comes with zxcvbn; about 50,000 passwords, so it is loaded only where it is used. */
export async function loadPasswordPolicy(): Promise<PasswordPolicy> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  return createPasswordPolicy(dictionary['passwords-common']);
}

/** The policy over a list of common passwords. Letter case and compatible forms of a character make no difference. */
function createPasswordPolicy(common: readonly string[]): PasswordPolicy {
  const folded = new Set(common.map(fold));
  return (password, context) => {
    const given = fold(password);
    if (folded.has(given)) return 'common';
    return isMadeOf(given, contextWords(context)) ? 'context' : null;
  };
}

const fold = (text: string): string => text.normalize('NFKC').toLowerCase();

function isMadeOf(password: string, words: readonly string[]): boolean {
  const own = words.reduce((rest, word) => rest.replaceAll(word, ''), password);
  return own.length < password.length && own.length < OWN_LENGTH_MIN;
}

/** Longest first, so that a word goes before its parts. */
function contextWords({ name, email, serviceName }: PasswordContext): string[] {
  const words = [name, email, serviceName].flatMap((text) => {
    const folded = fold(text);
    return [
      folded,
      folded.replaceAll(/\s/g, ''),
      ...folded.split('@'),
      ...folded.split(/[^\p{L}\p{M}\p{N}]+/u),
    ];
  });
  return [...new Set(words)]
    .filter((word) => word.length >= WORD_LENGTH_MIN)
    .sort((a, b) => b.length - a.length);
}
