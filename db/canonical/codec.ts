/** A mapping made into functions, once: from documents to records and back, and where a query finds what. */
import { createHash } from 'node:crypto';
import type { Doc } from '../bson.ts';
import type { Entity, RecordOf } from '../records.ts';
import { compileToken, compileUser } from './compile.ts';
import { isAhead, isNever, readDate } from './dates.ts';
import { DEFAULT_MAPPING } from './default-mapping.ts';
import { before, encodeTime, type Writers, type Written, writersOf } from './documents.ts';
import { SESSION_FIELDS } from './fields.ts';
import { type Canonical, newNotes } from './findings.ts';
import type { Mapping, TimeForm } from './mapping.ts';
import { at, type Path, pathOf, withValues } from './paths.ts';
import { reference } from './read.ts';
import { canonicalSession, SESSION_OWNER } from './session.ts';
import { canonicalResetToken, canonicalVerificationToken } from './token.ts';
import { unknownFieldsOf } from './unknown.ts';
import { canonicalUser } from './user.ts';

/** Fields that queries and indexes name. */
export type QueriedField =
  | 'email'
  | 'name'
  | 'passwordHash'
  | 'isVerified'
  | 'userId'
  | 'token'
  | 'createdAt'
  | 'updatedAt'
  | 'deletedAt'
  | 'expiresAt';

export interface Codec {
  /** Of the effective mapping and of `READING`, 16 hex digits: who has the same one reads and writes alike. */
  readonly digest: string;
  readonly mapping: Mapping;
  readonly collections: Readonly<Record<Entity, string>>;
  /** The record that a document of any shape means. Pure; never throws. */
  read<E extends Entity>(entity: E, doc: Doc): Canonical<RecordOf[E]>;
  /** The user whose document it is, also where nothing else in it can be read; null: it does not say, or is a user's own. */
  owner(entity: Entity, doc: Doc): string | null;
  /** Every field we own, each with its place. Throws when an id in the record is none that `encodeId` gives. */
  write<E extends Entity>(entity: E, record: RecordOf[E]): readonly Written[];
  /** The record as a document of its own. */
  toDocument<E extends Entity>(entity: E, record: RecordOf[E]): Doc;
  /** Where the field is written; an entity without such a field has it under its own name. */
  path(entity: Entity, field: QueriedField): Path;
  /** A time as this field holds it, to be compared with. */
  time(entity: Entity, field: QueriedField, date: Date): unknown;
  /**
   * What holds of times of this field that lie before the date, in the form that is written: what is in another form is never
   * taken for one of them.
   */
  before(entity: Entity, field: QueriedField, date: Date): Doc;
  /** Every place that decides what is read where this is written, itself included. */
  sources(entity: Entity, path: Path): readonly Path[];
  /** Top-level fields that the mapping or this service knows. */
  tops(entity: Entity): readonly string[];
  /** What of a document no record takes up, each by the steps to it; `*` for elements of an array. */
  unknownFields(entity: Entity, doc: Doc): readonly (readonly string[])[];
  /** The user's last login, the latest of those the mapping names; null: not known, as where it is ahead of now. */
  lastLoginAt(doc: Doc): Date | null;
}

type Readers = { readonly [E in Entity]: (doc: Doc) => Canonical<RecordOf[E]> };

export function createCodec(mapping: Mapping): Codec {
  const fields = {
    user: compileUser(mapping.user),
    verificationToken: compileToken(mapping.verificationToken),
    resetToken: compileToken(mapping.resetToken),
  };
  const readers: Readers = {
    user: (doc) => canonicalUser(doc, fields.user),
    verificationToken: (doc) => canonicalVerificationToken(doc, fields.verificationToken),
    resetToken: (doc) => canonicalResetToken(doc, fields.resetToken),
    session: canonicalSession,
  };
  const writers: Writers = writersOf(mapping, fields);
  const places = { ...placesOf(mapping), session: SESSION_FIELDS.map((name) => [pathOf(name)]) };
  const unknown = unknownFieldsOf(places);
  const write = <E extends Entity>(entity: E, record: RecordOf[E]) => writers[entity](record as never);
  const forms: Readonly<Record<string, TimeForm>> = Object.fromEntries(
    (['user', 'verificationToken', 'resetToken'] as const).flatMap((entity) =>
      Object.entries(mapping[entity]).flatMap(([field, source]) =>
        'as' in source && !Array.isArray(source) ? [[`${entity}.${field}`, source.as as TimeForm]] : [],
      ),
    ),
  );

  const formOf = (entity: Entity, field: QueriedField): TimeForm => forms[`${entity}.${field}`] ?? 'date';

  const path = (entity: Entity, field: QueriedField): Path => {
    const known: Readonly<Record<string, { readonly paths: readonly Path[] } | undefined>> =
      entity === 'session' ? {} : (fields[entity] as never);
    return known[field]?.paths[0] ?? pathOf(field);
  };

  return {
    digest: digestOf(mapping),
    mapping,
    collections: mapping.collections,
    read: (entity, doc) => readers[entity](doc),
    owner(entity, doc) {
      if (entity === 'user') return null;
      const field = entity === 'session' ? SESSION_OWNER : fields[entity].userId;
      const id = reference(doc, field, newNotes());
      return id === '' ? null : id;
    },
    write,
    toDocument: (entity, record) => withValues({}, write(entity, record)),
    path,
    time: (entity, field, date) => encodeTime(date, formOf(entity, field)),
    before: (entity, field, date) => before(date, formOf(entity, field)),
    sources: (entity, { text }) => places[entity].find(([own]) => own?.text === text) ?? [pathOf(text)],
    tops: (entity) => [...unknown.tops[entity]],
    unknownFields: unknown.list,
    lastLoginAt(doc) {
      const times = fields.user.lastLoginAt.paths.flatMap((where) => {
        const read = readDate(at(doc, where));
        const isKnown = 'value' in read && !isNever(read.value) && !isAhead(read.value);
        return isKnown ? [read.value] : [];
      });
      return times.sort((a, b) => b.getTime() - a.getTime())[0] ?? null;
    },
  };
}

type Places = Readonly<Record<Entity, readonly (readonly Path[])[]>>;

/** Each list decides one field of the record: the first of it is written. */
function placesOf({ user, ...tokens }: Mapping): Omit<Places, 'session'> {
  const compile = (lists: readonly (readonly string[])[]) => lists.map((list) => list.map(pathOf));
  const ofToken = ({ userId, token, createdAt, expiresAt, used }: Mapping['resetToken']) => {
    const uses = used.map(({ path }) => path);
    return compile([userId.from, token, createdAt.from, [...expiresAt.from, ...uses], ...ADDED_TO_TOKENS]);
  };
  const conditions = [...user.deleted, ...user.lockedOut].map(({ path }) => path);
  const written = user.deleted.filter(({ write }) => write).map(({ path }) => path);
  return {
    user: compile([
      user.email,
      [...user.name, ...user.nameParts],
      user.passwordHash,
      user.isVerified.from.map(({ path }) => path),
      user.createdAt.from,
      user.updatedAt.from,
      [...user.deletedAt.from, ...user.deleted.map(({ path }) => path)],
      ...written.map((path) => [path]),
      ...conditions.map((path) => [path]),
      user.lastLoginAt,
      ...ADDED_TO_USERS,
    ]),
    verificationToken: ofToken(tokens.verificationToken),
    resetToken: ofToken(tokens.resetToken),
  };
}

const ADDED_TO_USERS = [['verifiedWith'], ['sessionGeneration'], ['resetGeneration']] as const;
const ADDED_TO_TOKENS = [['nonce'], ['generation'], ['mailDueAt']] as const;

/**
 * How documents are read under a mapping. To be raised whenever a document means something else than before under the same
 * mapping: what an earlier version copied, verified or reads would pass for alike otherwise.
 */
export const READING = 3;

function digestOf(mapping: Mapping): string {
  return createHash('sha256')
    .update(JSON.stringify({ reading: READING, mapping }))
    .digest('hex')
    .slice(0, 16);
}

export const DEFAULT_CODEC: Codec = createCodec(DEFAULT_MAPPING);
