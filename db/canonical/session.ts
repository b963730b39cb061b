import type { Doc } from '../bson.ts';
import { REVOCATION_REASONS, type RevocationReason, type SessionRecord } from '../records.ts';
import { readDate } from './dates.ts';
import { SESSION_FIELDS } from './fields.ts';
import { type Canonical, clean, conclude, type Notes, newNotes } from './findings.ts';
import {
  count,
  createdAt,
  date,
  type Field,
  idOf,
  need,
  ownField,
  read,
  reference,
  stamp,
  text,
} from './read.ts';
import { type Read, readText } from './scalars.ts';

const AGENT_MAX = 256;

const F = Object.fromEntries(SESSION_FIELDS.map((name) => [name, ownField(name)])) as Readonly<
  Record<(typeof SESSION_FIELDS)[number], Field>
>;

export const SESSION_OWNER = F.userId;

/** A session's document as the canonical record. Pure; never throws. */
export function canonicalSession(doc: Doc): Canonical<SessionRecord> {
  const notes = newNotes();
  const expiresAt = need(doc, F.expiresAt, notes, readDate, new Date(0));
  const created = createdAt(doc, F.createdAt, notes, null);
  const revokedAt = date(doc, F.revokedAt, notes);
  return conclude(notes, {
    id: idOf(doc, notes),
    userId: reference(doc, F.userId, notes),
    generation: count(doc, F.generation, notes),
    tokenHash: need(doc, F.tokenHash, notes, readDigest, ''),
    previousTokenHash: read(doc, F.previousTokenHash, notes, readDigest),
    rotation: count(doc, F.rotation, notes),
    keyId: need(doc, F.keyId, notes, readText, ''),
    createdAt: created,
    rotatedAt: date(doc, F.rotatedAt, notes) ?? created,
    idleExpiresAt: date(doc, F.idleExpiresAt, notes) ?? expiresAt,
    expiresAt,
    revokedAt,
    revokedReason: revokedAt === null ? null : revokedReason(doc, notes),
    userAgent: userAgent(doc, notes),
    stamp: stamp(doc, notes),
  });
}

function readDigest(value: unknown): Read<string> {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
    ? { value, reasons: [] }
    : { unusable: 'unreadable' };
}

function revokedReason(doc: Doc, notes: Notes): RevocationReason {
  const stored = text(doc, F.revokedReason, notes);
  const known = REVOCATION_REASONS.find((reason) => reason === stored);
  if (known === undefined) clean(notes, 'revokedReason', 'unreadable');
  return known ?? 'ended';
}

function userAgent(doc: Doc, notes: Notes): string | null {
  const agent = text(doc, F.userAgent, notes);
  if (agent === null || agent.length <= AGENT_MAX) return agent;
  const points = [...agent];
  if (points.length <= AGENT_MAX) return agent;
  clean(notes, 'userAgent', 'too-long');
  return points.slice(0, AGENT_MAX).join('');
}
