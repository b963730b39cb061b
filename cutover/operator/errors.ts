/** No store that could speak for the authority was reached, or there is no system yet. Exit code 5. */
export class AuthorityUnknown extends Error {
  override readonly name = 'AuthorityUnknown';
  /** What to do; null: it takes a look at the stores to tell. */
  readonly remedy: string | null;
  constructor(message: string, remedy: string | null = null) {
    super(message);
    this.remedy = remedy;
  }
}
