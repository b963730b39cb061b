/** What is wrong with the store that is not the authority, for a whole run of a suite: `OTHER_STORE` says it. */
export const TROUBLES = ['down', 'frozen', 'slow'] as const;
export type Trouble = (typeof TROUBLES)[number];

export function troubleOf(env: NodeJS.ProcessEnv): Trouble {
  const trouble = TROUBLES.find((known) => known === env['OTHER_STORE']);
  if (trouble === undefined) throw new Error(`OTHER_STORE must be one of ${TROUBLES.join(', ')}`);
  return trouble;
}
