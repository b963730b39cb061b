/** What this process knows of itself, for whoever asks whether requests should be sent here. */
export interface Standing {
  readonly instance: string;
  /** The mode that the environment names, and the one the system is in; null: not known. */
  readonly mode: { readonly configured: string; readonly effective: string | null };
  readonly epoch: number | null;
  /** Name of the store that decides; null: not known. */
  readonly authority: 'mongo' | 'postgres' | null;
  readonly serves: 'yes' | 'no-mode' | 'no-lease';
  /** What an operator should know about that; null when all is well. */
  readonly problem: string | null;
}
