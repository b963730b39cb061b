/** What was asked for cannot be: a value, a name, an id. Nothing was done; the message says what is wrong with it. */
export class WrongArgument extends Error {
  override readonly name = 'WrongArgument';
}
