/** Keeps every operation: written down when it begins, again when it is answered. */
import { appendFileSync, writeFileSync } from 'node:fs';
import type { NoReply, Reply } from '../clients/http.ts';
import type { Answer, Call, Operation, Outcome, SessionName } from './types.ts';

export interface Recorded {
  readonly id: number;
  readonly outcome: Outcome;
  readonly reply: Reply | NoReply;
}

export interface Recorder {
  record(
    email: string,
    call: Call,
    instance: string,
    send: () => Promise<Reply | NoReply>,
  ): Promise<Recorded>;
  /** The harness's own look at what is stored. */
  final(email: string, answer: Answer, sessionIds?: readonly string[]): void;
  /** Says which session a server's id means. */
  name(sessionId: string, session: SessionName): void;
  /** What was done so far; operations under way are open. */
  operations(): readonly Operation[];
  /** Faults of the service that no fault of ours explains: a 500 in a run is one. */
  readonly surprises: readonly string[];
  /** Called with each operation that ends. */
  onEnd(listener: (operation: Operation) => void): void;
  save(file: string): void;
}

/** Server ids of sessions, until all names are known. */
type Kept = Operation & { readonly sessionIds?: readonly string[] | undefined };

const now = (): number => Math.round(performance.now() * 1_000) / 1_000;

export function createRecorder(): Recorder {
  const kept: Kept[] = [];
  const names = new Map<string, SessionName>();
  const surprises: string[] = [];
  const listeners: ((operation: Operation) => void)[] = [];

  function add(operation: Kept): void {
    kept[operation.id - 1] = operation;
  }

  const named = ({ sessionIds, ...operation }: Kept): Operation => {
    if (sessionIds === undefined || operation.outcome.kind !== 'ok') return operation;
    const sessions = sessionIds.map((id) => names.get(id)).filter((name) => name !== undefined);
    return { ...operation, outcome: { kind: 'ok', answer: { ...operation.outcome.answer, sessions } } };
  };

  return {
    surprises,
    onEnd: (listener) => void listeners.push(listener),
    async record(email, call, instance, send) {
      const id = kept.length + 1;
      const begun = { id, email: email.toLowerCase(), call, instance, invokedMs: now() };
      add({ ...begun, completedMs: null, outcome: { kind: 'unknown', reason: 'under way' } });
      const reply = await send();
      const outcome = outcomeOf(reply);
      const ended = { ...begun, completedMs: now(), outcome, sessionIds: sessionIdsOf(reply) };
      add(ended);
      if (reply.kind === 'answer' && (reply.status === 500 || reply.status === 429)) {
        surprises.push(`${call.kind} (operation ${id}) at ${instance} was answered ${reply.status}`);
      }
      for (const listener of listeners) listener(ended);
      return { id, outcome, reply };
    },
    final(email, answer, sessionIds) {
      const at = now();
      add({
        id: kept.length + 1,
        email: email.toLowerCase(),
        call: { kind: 'final' },
        instance: 'stores',
        invokedMs: at,
        completedMs: at,
        outcome: { kind: 'ok', answer },
        sessionIds,
      });
    },
    name: (sessionId, session) => void names.set(sessionId, session),
    operations: () => kept.map(named),
    save(file) {
      writeFileSync(file, '');
      for (let at = 0; at < kept.length; at += 1_000) {
        const lines = kept.slice(at, at + 1_000).map((operation) => JSON.stringify(named(operation)));
        appendFileSync(file, `${lines.join('\n')}\n`);
      }
    },
  };
}

/** Codes of 503 that say that nothing was done. */
const NOTHING_DONE = new Set(['hashing_overloaded', 'overloaded']);

export function outcomeOf(reply: Reply | NoReply): Outcome {
  if (reply.kind !== 'answer') {
    return { kind: reply.kind === 'unreachable' ? 'failed' : 'unknown', reason: reply.reason };
  }
  const { status, body } = reply;
  const code = typeof body['code'] === 'string' ? body['code'] : String(status);
  if (status < 300) return { kind: 'ok', answer: answerOf(body) };
  if (status < 500) return { kind: 'refused', code };
  return NOTHING_DONE.has(code) ? { kind: 'failed', reason: code } : { kind: 'unknown', reason: code };
}

function answerOf(body: Reply['body']): Answer {
  const user = body['user'] as { readonly id?: string; readonly isVerified?: boolean } | undefined;
  return {
    ...(user?.id !== undefined && { userId: user.id }),
    ...(user?.isVerified !== undefined && { isVerified: user.isVerified }),
  };
}

function sessionIdsOf(reply: Reply | NoReply): readonly string[] | undefined {
  if (reply.kind !== 'answer' || reply.status !== 200) return undefined;
  const sessions = reply.body['sessions'] as readonly { readonly id: string }[] | undefined;
  return sessions?.map(({ id }) => id);
}
