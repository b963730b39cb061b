import type { Doc } from '../bson.ts';
import { REVOCATION_REASONS, type RevocationReason, type SessionRecord } from '../records.ts';
import { type Canonical, clean, conclude, type Notes, newNotes } from './findings.ts';
import { count, createdAt, date, idOf, need, read, reference, text } from './read.ts';
import { type Read, readDate, readText } from './scalars.ts';

const AGENT_MAX = 256;

/** A session's document as the canonical record. Pure; never throws. */
export function canonicalSession(doc: Doc): Canonical<SessionRecord> {
  const notes = newNotes();
  const expiresAt = need(doc, ['expiresAt'], notes, readDate, new Date(0));
  const created = createdAt(doc, ['createdAt'], notes, null);
  const revokedAt = date(doc, ['revokedAt'], notes);
  return conclude(notes, {
    id: idOf(doc, notes),
    userId: reference(doc, ['userId'], notes),
    generation: count(doc, ['generation'], notes),
    tokenHash: need(doc, ['tokenHash'], notes, readDigest, ''),
    previousTokenHash: read(doc, ['previousTokenHash'], notes, readDigest),
    rotation: count(doc, ['rotation'], notes),
    keyId: need(doc, ['keyId'], notes, readText, ''),
    createdAt: created,
    rotatedAt: date(doc, ['rotatedAt'], notes) ?? created,
    idleExpiresAt: date(doc, ['idleExpiresAt'], notes) ?? expiresAt,
    expiresAt,
    revokedAt,
    revokedReason: revokedAt === null ? null : revokedReason(doc, notes),
    userAgent: userAgent(doc, notes),
    stamp: { epoch: count(doc, ['epoch'], notes), version: count(doc, ['version'], notes) },
  });
}

function readDigest(value: unknown): Read<string> {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
    ? { value, reasons: [] }
    : { unusable: 'unreadable' };
}

function revokedReason(doc: Doc, notes: Notes): RevocationReason {
  const stored = text(doc, ['revokedReason'], notes);
  const known = REVOCATION_REASONS.find((reason) => reason === stored);
  if (known === undefined) clean(notes, 'revokedReason', 'unreadable');
  return known ?? 'ended';
}

function userAgent(doc: Doc, notes: Notes): string | null {
  const agent = text(doc, ['userAgent'], notes);
  if (agent === null || agent.length <= AGENT_MAX) return agent;
  const points = [...agent];
  if (points.length <= AGENT_MAX) return agent;
  clean(notes, 'userAgent', 'too-long');
  return points.slice(0, AGENT_MAX).join('');
}
