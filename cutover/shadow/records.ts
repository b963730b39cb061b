/** Names of records, and the lists that comparisons keep of them. */
import type { Entity } from '../../db/records.ts';
import type { Parts } from './reads.ts';

export interface RecordName {
  readonly entity: Entity;
  readonly id: string;
}

export const nameOf = ({ entity, id }: RecordName): string => `${entity}/${id}`;

export function namesOf(parts: Parts): readonly RecordName[] {
  return parts.records.map(({ entity, record }) => ({ entity, id: record.id }));
}

/** Each once. */
export function union(...lists: readonly (readonly RecordName[])[]): readonly RecordName[] {
  return [...new Map(lists.flat().map((name) => [nameOf(name), name])).values()];
}
