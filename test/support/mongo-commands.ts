/** What a client asks of a MongoDB server, read on the wire. */
import mongoose from 'mongoose';
import { createLagProxy } from './lag-proxy.ts';
import { mongoCommand } from './wire.ts';

export interface MongoCommand {
  readonly name: string;
  readonly collection: string;
  /** The command itself: besides what it asks for, how. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Of each of its operations. */
  readonly filters: readonly Readonly<Record<string, unknown>>[];
}

interface Body {
  readonly filter?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly pipeline?: readonly { readonly $match?: Readonly<Record<string, unknown>> }[];
  readonly updates?: readonly { readonly q: Readonly<Record<string, unknown>> }[];
  readonly deletes?: readonly { readonly q: Readonly<Record<string, unknown>> }[];
}

export interface MongoCommands {
  readonly url: string;
  /** What was asked through `url` while this ran; what fits into one packet, that is. */
  during(work: () => Promise<unknown>): Promise<readonly MongoCommand[]>;
  close(): Promise<void>;
}

export async function recordMongoCommands(url: string): Promise<MongoCommands> {
  const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
  let commands: MongoCommand[] = [];
  // A fault that never strikes sees all that passes.
  void proxy.loseNextReplyAfterCommit((sent) => {
    const command = commandOf(sent);
    if (command !== null) commands.push(command);
    return false;
  });
  return {
    url: proxy.through(url),
    async during(work) {
      commands = [];
      await work();
      return commands;
    },
    close: () => proxy.close(),
  };
}

/** One message, whose first section is the command; writes may bring their operations in sections of their own. */
function commandOf(sent: Buffer): MongoCommand | null {
  const name = mongoCommand(sent);
  if (name === null || sent.length < sent.readInt32LE(0)) return null;
  const bytes = sent.readInt32LE(21);
  const body = mongoose.mongo.BSON.deserialize(sent.subarray(21, 21 + bytes)) as Body &
    Record<string, unknown>;
  const collection = body[name];
  if (typeof collection !== 'string') return null;
  const sections = operationsOf(sent.subarray(21 + bytes, sent.readInt32LE(0)));
  const matched = body.pipeline?.map(({ $match }) => $match ?? {}).slice(0, 1) ?? [];
  const written = [...(body.updates ?? []), ...(body.deletes ?? []), ...sections].map(({ q }) => q);
  const asked = [body.filter, body.query].filter((filter) => filter !== undefined);
  return { name, collection, body, filters: [...asked, ...matched, ...written] };
}

/** The documents of a message's further sections, where they are operations with a filter. */
function operationsOf(rest: Buffer): readonly { readonly q: Readonly<Record<string, unknown>> }[] {
  const found: { readonly q: Readonly<Record<string, unknown>> }[] = [];
  let at = 0;
  while (at + 5 < rest.length && rest[at] === 1) {
    const end = at + 1 + rest.readInt32LE(at + 1);
    let doc = rest.indexOf(0, at + 5) + 1;
    while (doc < end) {
      const bytes = rest.readInt32LE(doc);
      const operation = mongoose.mongo.BSON.deserialize(rest.subarray(doc, doc + bytes));
      if (typeof operation['q'] === 'object') found.push({ q: operation['q'] });
      doc += bytes;
    }
    at = end;
  }
  return found;
}
