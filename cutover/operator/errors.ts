/** No store that could speak for the authority was reached, or there is no system yet. Exit code 5. */
export class AuthorityUnknown extends Error {
  override readonly name = 'AuthorityUnknown';
}
